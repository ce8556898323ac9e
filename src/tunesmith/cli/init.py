"""``tunesmith init``: write a recipe for one's own data and model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def init(
    kind: Annotated[str, typer.Argument(help="lora, full, qlora, pretrain or eval.")] = "",
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Files of chats or labelled rows, task files, folders, hub:owner/name."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model to tune or to ask: a folder or hub:owner/model.")
    ] = "",
    base: Annotated[str, typer.Option(help="For eval: the model before tuning, to compare with.")] = "",
    name: Annotated[str, typer.Option(help="The recipe's name. Default: from the data and the kind.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write. Default: NAME.yaml.")] = None,
) -> None:
    """Write a commented recipe for your data and model. What is not given is asked.

    It looks at the data, counts rows and tokens, and proposes epochs, lengths and batches. No file is overwritten.

    [bold]Examples[/]

        tunesmith init lora chats.jsonl --model hub:Qwen/Qwen3-0.6B
        tunesmith init qlora tickets.yaml --model models/llama-8b --out tickets.yaml
        tunesmith init pretrain text.txt chats.jsonl
        tunesmith init eval chats.jsonl --model runs/chats-lora/tune/model --base hub:Qwen/Qwen3-0.6B
    """
    from tunesmith.core.errors import RecipeError
    from tunesmith.pipeline.starter import KINDS, Order, write
    from tunesmith.pipeline.survey import survey

    kind = _kind(kind or _asked("kind", f"What for? One of {', '.join(KINDS)}", "lora"))
    data = data or _asked("data", "Data files, separated by spaces", "").split()
    if not data:
        raise RecipeError("Which data? Give a file: tunesmith init lora chats.jsonl --model FOLDER")
    if kind != "pretrain" and not model:
        model = _asked("--model", "Model: a folder or hub:owner/model", "")
    if kind == "pretrain" and model:
        raise RecipeError("init pretrain makes a fresh model and takes no --model. To tune one: tunesmith init full")
    if base and kind != "eval":
        raise RecipeError("--base is for init eval. Elsewhere the model before tuning is the one of --model.")
    _check_model(kind, model)
    _check_model(kind, base)
    name = name or f"{_stem(data[0])}-{kind}"
    file = out or Path(f"{name}.yaml")
    if file.exists():
        raise RecipeError(f"{file} is there already, and is not overwritten. Give another file with --out, or --name.")
    text = write(Order(kind, name, model, base), survey(data, model))
    text = text if file.name == f"{name}.yaml" and file.parent == Path() else text.replace(f" {name}.yaml", f" {file}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as written:
        written.write(text)
    typer.echo(f"{file} is written. Next:\n  tunesmith run {file} --check\n  tunesmith run {file}")


def _asked(what: str, question: str, default: str) -> str:
    """What a person answers; where nobody can be asked, an error that names what is missing."""
    from tunesmith.core.errors import RecipeError

    if not sys.stdin.isatty():
        raise RecipeError(
            f"{what} is missing, and nobody can be asked here. Give it as in: "
            "tunesmith init lora chats.jsonl --model hub:Qwen/Qwen3-0.6B"
        )
    answer: str = typer.prompt(question, default=default or None)
    return answer.strip()


def _kind(name: str) -> str:
    from tunesmith.core.errors import RecipeError, near
    from tunesmith.pipeline.starter import FOREIGN, KINDS

    if name in KINDS:
        return name
    if name.lower() in FOREIGN:
        ours = FOREIGN[name.lower()]
        raise RecipeError(f"There is no kind {name!r}. Here it is {ours!r}: {KINDS[ours]}. Kinds: {', '.join(KINDS)}.")
    if Path(name).exists() or name.startswith("hub:"):
        raise RecipeError(f"The kind stands first: tunesmith init lora {name}. Kinds: {', '.join(KINDS)}.")
    raise RecipeError(f"There is no kind {name!r}{near(name, list(KINDS))}")


def _check_model(kind: str, model: str) -> None:
    """A model is a folder that is there, or has a name of the hub."""
    from tunesmith.core.errors import RecipeError, near
    from tunesmith.stages import hub

    if not model or hub.is_folder(model):
        return
    if model.startswith(hub.PREFIX):
        if wrong := hub.problem(model):
            raise RecipeError(f"{wrong}.")
        return
    place = Path(model)
    siblings = [p.name for p in place.parent.glob("*") if p.is_dir()] if place.parent.is_dir() else []
    hint = f"; on the hub it would be hub:{model}" if model.count("/") == 1 else ""
    raise RecipeError(f"There is no model folder {model}{hint or near(place.name, siblings)}")


def _stem(place: str) -> str:
    """A name from a path, a folder or hub:owner/name."""
    import re

    last = re.split(r"[/:]", place.rstrip("/").partition("?")[0])[-1]
    stem = last.split(".")[0] if not last.startswith(".") else ""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "my"
