"""What an option that there is not was meant to be: a setting of a recipe, by our name or by another trainer's."""

from __future__ import annotations


def of_option(name: str) -> str:
    """The end of an error's line on an unknown option such as ``--epochs``; nothing where no setting is near."""
    from tunesmith.core.aliases import FOREIGN
    from tunesmith.core.settings import keys_of
    from tunesmith.stages import KINDS

    key = name.lstrip("-").partition("=")[0].replace("-", "_").lower()
    for kind, stage in (("sft", "tune"), ("build", "build"), ("eval", "eval")):
        if way := keys_of(KINDS[kind]).get(key):
            return (
                f" It is a setting of a recipe's stage: --set {stage}.{way}=VALUE, where {stage!r} is the stage's name."
            )
    if key in FOREIGN:
        ours = FOREIGN[key]
        if not ours.key:
            return f" There is no such setting: {ours.what}."
        way = ours.key if ours.key.startswith("build.") else f"tune.{ours.key}"
        stage = way.partition(".")[0]
        return f" Here it is a setting of a recipe's stage: --set {way}=VALUE ({ours.what}), {stage!r} being the stage."
    return ""
