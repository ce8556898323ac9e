"""What a verb that there is not was meant to be: a slip, a verb one level down, or the word of another program.

tunesmith trian my.yaml     There is no verb 'trian'. Did you mean: tunesmith train
tunesmith lint my_tasks/    There is no verb 'lint'. Did you mean: tunesmith data lint
tunesmith finetune ...      There is no verb 'finetune'. Here it is `run`, with a recipe
"""

from __future__ import annotations

from typing import Any

from click import UsageError
from typer.core import TyperGroup

from tunesmith.core.errors import nearest

FOREIGN: dict[str, tuple[str, str]] = {
    "finetune": ("run", "the stages of a recipe; write one with: tunesmith init"),
    "fine-tune": ("run", "the stages of a recipe; write one with: tunesmith init"),
    "tune": ("run", "the stages of a recipe; write one with: tunesmith init"),
    "sft": ("run", "a stage of kind sft is part of a recipe; write one with: tunesmith init"),
    "lora": ("init lora", "writes a recipe with an adapter"),
    "qlora": ("init qlora", "writes a recipe with an adapter on weights in four bits"),
    "pretrain": ("init pretrain", "writes a recipe that pretrains and tunes"),
    "new": ("init", "writes a recipe"),
    "create": ("init", "writes a recipe"),
    "torchrun": ("launch", "starts one process for each GPU"),
    "accelerate": ("launch", "starts one process for each GPU"),
    "evaluate": ("eval", "a recipe's evaluation, or any models and a suite"),
    "test": ("eval", "a recipe's evaluation, or any models and a suite"),
    "benchmark": ("eval", "a recipe's evaluation, or any models and a suite"),
    "lm_eval": ("eval harness", "the tasks of lm-evaluation-harness"),
    "lm-eval": ("eval harness", "the tasks of lm-evaluation-harness"),
    "merge": ("export", "a model for use elsewhere; a tuned model is merged already"),
    "convert": ("export", "a model for use elsewhere"),
    "gguf": ("export", "a model for use elsewhere"),
    "generate": ("chat", "talk to a model"),
    "inference": ("chat", "talk to a model"),
    "predict": ("chat", "talk to a model"),
    "preprocess": ("data build", "conversations from task files"),
    "inspect": ("show", "the tokens of an example, and the loss mask"),
    "recipes": ("recipe list", "the recipes that the package carries"),
    "ls": ("recipe list", "the recipes that the package carries"),
    "env": ("doctor", "what this machine has"),
    "version": ("--version", "prints the version"),
}
"""Words of other programs: what each is here, and what that does."""


class Verbs(TyperGroup):
    """A group of commands whose unknown names are answered in one line."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = str(args[0])
        if name not in self.commands and not name.startswith("-"):
            raise UsageError(meant(ctx.command_path, self, name), ctx)
        return super().resolve_command(ctx, args)


def meant(path: str, group: Any, name: str) -> str:
    """The error's line on a verb that a group does not have. ``path`` is how the group is called."""
    told = f"There is no verb {name!r}."
    whole = {word: f"{path} {word}" for word in group.commands}
    below = {
        sub: f"{path} {word} {sub}" for word, inner in group.commands.items() for sub in getattr(inner, "commands", {})
    }
    top = path.split()[0]
    if name in below:
        return f"{told} Did you mean: {below[name]}"
    key = name.lower()
    if key in FOREIGN and not (" " in path and FOREIGN[key][0] in path):
        ours, what = FOREIGN[key]
        return f"{told} Here it is: {top} {ours} ({what})."
    if close := nearest(name, whole, cutoff=0.75):
        return f"{told} Did you mean: {whole[close]}"
    if close := nearest(name, below, cutoff=0.75):
        return f"{told} Did you mean: {below[close]}"
    if close := nearest(name, FOREIGN, cutoff=0.8):
        ours, what = FOREIGN[close]
        return f"{told} Did you mean {close!r}? Here it is: {top} {ours} ({what})."
    if close := nearest(name, whole):
        return f"{told} Did you mean: {whole[close]}"
    return f"{told} Verbs: {', '.join(whole)}."
