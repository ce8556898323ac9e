"""``tunesmith show``: the tokens of an example and its loss mask, in colours and in brackets.

The ids and the mask come from the encoder that training uses, so what is shown is what is trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.language import Lang
from tunesmith.core import screen

if TYPE_CHECKING:
    from tunesmith.core.types import Conversation


def show(
    what: Annotated[Path, typer.Argument(help="A run folder, or a JSON / JSON lines file with messages.")],
    search: Annotated[
        str | None, typer.Argument(help="Show the examples whose id holds this text. Default: some from all over.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Tokenizer and chat template: a run, a model or a tokenizer folder."),
    ] = None,
    chat: Annotated[
        str | None, typer.Option("--chat", help="Use this format instead of the folder's: chatml, zephyr, tulu.")
    ] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="Of a run: instruction, name or none.")] = "instruction",
    learn: Annotated[str, typer.Option("--learn", help="Which turns are learned: last, all, marked.")] = "last",
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many examples.")] = 3,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page instead of printing.")] = None,
    lang: Lang = None,
) -> None:
    """Show the tokens of examples. Those that are trained on (the loss mask) are coloured and in \\[brackets].

    [bold]Examples[/]

        tunesmith show runs/quickstart                        [dim]some training examples[/]
        tunesmith show runs/quickstart capital -n 1           [dim]one about capitals[/]
        tunesmith show runs/quickstart --html mask.html       [dim]as a page[/]
        tunesmith show talk.json -m runs/quickstart           [dim]your own messages, as JSON[/]
    """

    from tunesmith.core.errors import UnknownName
    from tunesmith.evals.report.mask import Drawn, mask_html, mask_text, tokens_of
    from tunesmith.stages.training import open_format

    if learn not in ("last", "all", "marked"):
        raise UnknownName("Learn policy", learn, ("last", "all", "marked"))
    conversations, tokenizer = _find(what, model, search, format, number)
    fmt = open_format(tokenizer, chat)
    shown = [(c, row) for c in conversations for row in fmt.encode_turns(c, learn)]  # type: ignore[arg-type]
    drawn = [Drawn(c.id, tokens_of(fmt, row)) for c, row in shown]
    if page:
        page.write_text(mask_html(drawn), encoding="utf-8")
        typer.echo(f"Written: {page}")
        return
    console = screen.console()
    for example, (_, row) in zip(drawn, shown, strict=True):
        console.print(example.title, style="bold", markup=False, end=" ")
        console.print(f"{len(row.ids)} tokens, {int(row.learn.sum())} trained on", style="dim")
        console.print(mask_text(example.tokens))
        console.print()
    console.print(
        r"[bold]\[[/][bold black on bright_yellow]trained on[/][bold]][/]  read only  [dim cyan]control token[/]"
    )


def _find(
    what: Path, model: Path | None, search: str | None, format: str, number: int
) -> tuple[list[Conversation], Path]:
    """The conversations meant, and the folder of the tokenizer to encode them with."""
    from tunesmith.api.folders import open_folder
    from tunesmith.core.errors import DataError, RecipeError
    from tunesmith.stages import rows

    if what.is_dir() or not what.suffix:
        opened = open_folder(what, needs="tokenizer_config.json")
        build = opened.stage_of_kind("build")
        if build is None:
            raise RecipeError(f"{what} belongs to no run with a build stage. Give a file with messages instead.")
        found = rows.train(build, format)
        tokenizer = open_folder(model, "tokenizer_config.json").folder if model else opened.folder
    else:
        if model is None:
            raise RecipeError("Whose tokens? Give a run or model folder with --model, for example -m runs/quickstart")
        tokenizer = open_folder(model, "tokenizer_config.json").folder
        found = read_messages(what)
    if search:
        ids = [c.id for c in found]
        found = [c for c in found if search in c.id]
        if not found:
            raise DataError(f"No example of {what} has {search!r} in its id. Ids look like {', '.join(ids[:3])}.")
        return found[:number], tokenizer
    return found[:: max(1, len(found) // number)][:number], tokenizer  # from all over, not one task's


def read_messages(file: Path) -> list[Conversation]:
    """Conversations of a file: one list of messages, one {"messages": [...]}, a list of them, or a line each."""
    from tunesmith.core.errors import DataError
    from tunesmith.core.types import Conversation, Source, messages_of

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    try:
        if file.suffix == ".jsonl":
            values = [(n, json.loads(line)) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        else:
            value = json.loads(text)
            several = isinstance(value, list) and value and not (isinstance(value[0], dict) and "role" in value[0])
            values = list(enumerate(value, 1)) if several else [(1, value)]
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}.") from None
    found = []
    for number, value in values:
        messages = value["messages"] if isinstance(value, dict) and "messages" in value else value
        try:
            turns = messages_of(messages)
        except TypeError as error:
            raise DataError(
                f"{file}:{number}: wanted messages such as [{{'role': 'user', 'content': 'Hello'}}]: {error}"
            ) from None
        found.append(Conversation(turns, id=f"{file.name}:{number}", source=Source(str(file), number)))
    return found
