"""A recipe: one YAML file that says which stages run, with which settings, in which order.

In goes a file such as ``recipes/quickstart.yaml``; out comes a ``Recipe`` whose every stage is checked: each key is
known, each value is of the right kind, each reference names an earlier stage that fits. All problems are reported at
once, each with its line and the nearest valid name:

    my.yaml:14: stages.tune.train.stepps: unknown key; did you mean 'steps'?

``schema()`` gives the same rules as JSON Schema, so that an editor can complete and check while one types.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tunesmith.core import aliases, plugins
from tunesmith.core.document import Document, Problem, Where
from tunesmith.core.errors import PluginError, RecipeError, near
from tunesmith.core.settings import MOST_SEED, Settings, check, find_file, keys_of
from tunesmith.stages import hub
from tunesmith.stages.stage import KINDS, From, Stage

BUILT_IN = Path(__file__).parent.parent / "recipes"
"""The recipes that the package carries; ``tunesmith quickstart`` runs one of them."""


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. ``stages`` is in the order of the file, which is the order of running."""

    name: str
    seed: int
    stages: Mapping[str, Stage]
    result: str
    """The stage whose model is what the recipe is for: ``tunesmith chat runs/<name>`` opens it."""
    file: str = ""
    text: str = ""
    """The file as it was read, kept beside the outputs."""


class Top(Settings):
    """The keys at the top of a recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Names the output folder: runs/<name>.")
    seed: int = Field(
        default=1, ge=0, le=MOST_SEED, description="Everything drawn by chance is drawn from this number."
    )
    result: str = Field(
        default="",
        description="The training stage whose model `tunesmith chat` opens. Default: the last one.",
    )
    plugins: list[str] = Field(
        default=[],
        description="Python modules or files (my_reader.py) that register readers, metrics, objectives and the like.",
    )
    stages: dict[str, Any] = Field(min_length=1, description="The stages by id, in the order in which they run.")


def find(name: str) -> Path:
    """The file of a recipe: a path, or the name of one that the package carries."""
    return find_file(name, BUILT_IN, "recipe file")


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read and check a recipe file; ``overrides`` are dotted keys that win over the file (``tune.train.lr``)."""
    return _parsed(Document.open(find(str(path))), overrides)


def parse(text: str, file: str = "<recipe>", overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Check the text of a recipe, and raise one ``RecipeError`` that lists every problem."""
    return _parsed(Document.read(text, file), overrides)


def _parsed(document: Document, overrides: Mapping[str, Any] | None) -> Recipe:
    problems = list(document.problems)
    value = document.value
    if not problems and not isinstance(value, dict):
        problems.append(Problem((), f"a recipe is a mapping with the keys {', '.join(Top.model_fields)}"))
    if problems:
        raise RecipeError(document.report(problems))
    for key, new in (overrides or {}).items():
        problems += _override(value, key, new)
    problems += _load_plugins(value.get("plugins"))

    top = check(Top, value, elsewhere=_of_stages())
    problems += top.problems
    stages: dict[str, Stage] = {}
    raw = value.get("stages")
    for id, settings in raw.items() if isinstance(raw, dict) else ():
        found, wrong = _stage(id, settings)
        problems += wrong
        if kind := _kind(settings):
            problems += _references(id, KINDS[kind], raw)
        if found is not None:
            stages[id] = found
    result = value.get("result") or ""
    trained = [id for id, stage in stages.items() if "model" in stage.gives]
    if result and isinstance(result, str) and result not in trained and not problems:
        problems.append(Problem(("result",), f"{result!r} is not a training stage" + near(result, trained)))
    if problems:
        raise RecipeError(document.report(problems))
    assert top.value is not None
    return Recipe(
        name=top.value.name,
        seed=top.value.seed,
        stages=stages,
        result=result or (trained[-1] if trained else ""),
        file=document.file,
        text=document.text,
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors: ``# yaml-language-server: $schema=recipe.schema.json``."""
    definitions: dict[str, Any] = {}
    choices = []
    for kind in KINDS:
        one = KINDS[kind].model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(one.pop("$defs", {}))
        one["properties"]["kind"] = {"const": kind, "description": one["properties"]["kind"]["description"]}
        one["required"] = sorted({*one.get("required", []), "kind"})
        definitions[f"stage_{kind}"] = one
        choices.append(
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/stage_{kind}"},
            }
        )
    out = Top.model_json_schema()
    out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    out["title"] = "tunesmith recipe"
    out["description"] = "What runs, with which settings, in which order."
    out["properties"]["stages"]["additionalProperties"] = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": choices,
    }
    out["$defs"] = definitions
    return out


# -- checking ----------------------------------------------------------------------------------------------------------


def _of_stages() -> dict[str, str]:
    """Where keys stand that people put at the top or into another stage: how long is trained is a setting of sft."""
    found: dict[str, str] = {}
    for kind in ("sft", *KINDS):
        for name, way in keys_of(KINDS[kind]).items() if kind in KINDS else ():
            found.setdefault(name, f"it is `{way}` of a stage of kind {kind}")
    return found


def _stage(id: Any, settings: Any) -> tuple[Stage | None, list[Problem]]:
    where: Where = ("stages", str(id))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(id)):
        return None, [Problem(where, "a stage's id is letters, digits, - and _, and starts with a letter")]
    if not isinstance(settings, dict):
        return None, [Problem(where, f"found {settings!r}, wanted the settings of a stage, with its `kind`")]
    kind = settings.get("kind")
    if kind is None:
        return None, [Problem(where, f"'kind' is missing, wanted one of {', '.join(KINDS)}")]
    if not isinstance(kind, str) or kind not in KINDS:
        ours = aliases.KINDS.get(str(kind).lower())
        meant = f"; here it is {ours}" if ours else near(str(kind), list(KINDS))
        what = f"stage kind {kind!r} is not known{meant}"
        return None, [Problem((*where, "kind"), what)]
    checked = check(KINDS[kind], settings, where, elsewhere=_of_stages())
    return checked.value, checked.problems


def _references(id: str, kind: type[Stage], raw: Mapping[str, Any]) -> list[Problem]:
    """Each reference must name an earlier stage that gives what is wanted. It works on the unchecked settings,
    so that a wrong reference is told together with the other problems of its stage."""
    settings = raw[id]
    earlier = {name: _kind(raw[name]) for name in list(raw)[: list(raw).index(id)]}
    problems = []
    for where, name, wanted in marked(kind, settings):
        place = ("stages", id, *where)
        if name in earlier:
            found = earlier[name]
            if found is None:
                continue  # that stage has a problem of its own
            if wanted.what not in KINDS[found].gives:
                kinds = " or ".join(_giving(wanted.what))
                problems.append(Problem(place, f"stage {name!r} is of kind {found!r}, wanted one of kind {kinds}"))
        elif wanted.folder and hub.is_folder(name):
            continue
        elif wanted.folder and name.startswith(hub.PREFIX):
            if wrong := hub.problem(name):
                problems.append(Problem(place, wrong))
        elif name in raw:
            problems.append(Problem(place, f"stage {name!r} does not come before this one; put it further up"))
        else:
            fitting = [other for other, found in earlier.items() if found and wanted.what in KINDS[found].gives]
            also = ", a folder with a model or hub:owner/model" if wanted.folder else ""
            what = f"there is no stage {name!r}, wanted the id of a {' or '.join(_giving(wanted.what))} stage{also}"
            problems.append(Problem(place, what + near(name, fitting)))
    return problems


def _giving(what: str) -> list[str]:
    """The kinds of stages that give something."""
    return [kind for kind in KINDS if what in KINDS[kind].gives]


def _kind(settings: Any) -> str | None:
    kind = settings.get("kind") if isinstance(settings, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else None


def references(stage: Stage) -> Iterator[tuple[Where, str, From]]:
    """Every reference of a stage to another one: where it stands, the name, and what is wanted."""
    return marked(type(stage), {key: getattr(stage, key) for key in type(stage).model_fields})


def needed(reads: Mapping[str, Collection[str]], wanted: Collection[str]) -> list[str]:
    """The stages wanted and all that they read, in order; ``reads`` are the stages and what each one reads."""
    found = set(wanted)
    for id in reversed(list(reads)):
        if id in found:
            found |= set(reads[id])
    return [id for id in reads if id in found]


def marked(kind: type[Stage], settings: Mapping[str, Any]) -> Iterator[tuple[Where, str, From]]:
    """The same of settings that are not checked yet."""
    for key, info in kind.model_fields.items():
        wanted = next((mark for mark in info.metadata if isinstance(mark, From)), None)
        value = settings.get(key)
        if wanted is None or not value:
            continue
        items: Iterable[tuple[Where, Any]]
        if isinstance(value, Mapping):
            items = (((key, name), item) for name, item in value.items())
        elif isinstance(value, list | tuple):
            items = (((key, i), item) for i, item in enumerate(value))
        else:
            items = [((key,), value)]
        yield from ((where, item, wanted) for where, item in items if isinstance(item, str))


def _load_plugins(names: Any) -> list[Problem]:
    """Import the plug-ins first: without them their stages, readers and steps are not known. What is no list of names
    is told when the top of the recipe is checked."""
    problems = []
    for i, name in enumerate(names) if isinstance(names, list) else ():
        if isinstance(name, str) and name:
            try:
                plugins.load([name])
            except PluginError as error:
                problems.append(Problem(("plugins", i), str(error)))
    return problems


def _override(value: dict[str, Any], key: str, new: Any) -> list[Problem]:
    """Put ``stage.key=value`` of the command line where it belongs: a stage's key, or one at the top."""
    parts = key.split(".")
    if parts[0] not in Top.model_fields:
        parts = ["stages", *parts]
    here: Any = value
    for i, part in enumerate(parts[:-1]):
        if not isinstance(here.get(part), dict):
            if part == "stages" and part in here:
                return []  # that is told as a problem of its own
            if i == 1 and parts[0] == "stages":
                return [Problem((), f"{key}: there is no stage {part!r}" + near(part, list(here)))]
            here[part] = {}
        here = here[part]
    here[parts[-1]] = new
    return []
