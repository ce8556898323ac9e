"""``tunesmith show``: the tokens of an example, coloured by whether they are learned.

The ids and the mask come from the encoder that training uses, so what is shown is what is trained on.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from tunesmith.chat import ChatFormat
    from tunesmith.types import Conversation, Encoded

Piece = tuple[str, bool]
"""A token as text, and whether it is learned."""


def show(
    what: Annotated[Path, typer.Argument(help="A run folder, or a JSON / JSON lines file with messages.")],
    search: Annotated[
        str | None, typer.Argument(help="Show the examples whose id holds this text. Default: the first few.")
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
) -> None:
    """Show the tokens of examples: the learned ones in green, the rest of them grey.

    [bold]Examples[/]

        tunesmith show runs/quickstart                        [dim]the first training examples[/]
        tunesmith show runs/quickstart capital -n 1           [dim]one about capitals[/]
        tunesmith show runs/quickstart --html mask.html       [dim]as a page[/]
        tunesmith show talk.json -m runs/quickstart           [dim]your own messages, as JSON[/]
    """
    from rich.console import Console

    from tunesmith.errors import UnknownName
    from tunesmith.stages.training import open_format

    if learn not in ("last", "all", "marked"):
        raise UnknownName("Learn policy", learn, ("last", "all", "marked"))
    conversations, tokenizer = _find(what, model, search, format, number)
    fmt = open_format(tokenizer, chat)
    shown = [(c, row) for c in conversations for row in fmt.encode_turns(c, learn)]  # type: ignore[arg-type]
    if page:
        page.write_text(as_html([(c.id, pieces(fmt, row)) for c, row in shown]), encoding="utf-8")
        typer.echo(f"Written: {page}")
        return
    console = Console()
    for conversation, row in shown:
        taught = int(row.learn.sum())
        console.print(f"[bold]{conversation.id}[/] [dim]{len(row.ids)} tokens, {taught} learned[/]", highlight=False)
        console.print(as_text(pieces(fmt, row)))
        console.print()
    console.print("[black on green]learned[/] [dim]not learned[/]   a line between tokens: ·", highlight=False)


def _find(
    what: Path, model: Path | None, search: str | None, format: str, number: int
) -> tuple[list[Conversation], Path]:
    """The conversations meant, and the folder of the tokenizer to encode them with."""
    from tunesmith.cli.folders import open_folder
    from tunesmith.errors import DataError, RecipeError
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


def read_messages(file: Path) -> list[Conversation]:
    """Conversations of a file: one list of messages, one {"messages": [...]}, a list of them, or a line each."""
    from tunesmith.errors import DataError
    from tunesmith.types import Conversation, Source, messages_of

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


def pieces(fmt: ChatFormat, row: Encoded) -> list[Piece]:
    """Tokens as text. Letters that are spread over several tokens (Chinese, often) are shown as one piece."""
    found: list[Piece] = []
    waiting: list[int] = []
    ids: Sequence[int] = row.ids.tolist()
    for i, (id, learned) in enumerate(zip(ids, row.learn.tolist(), strict=True)):
        waiting.append(id)
        text = fmt.decode(waiting, controls=True)
        last = i + 1 == len(ids) or bool(row.learn[i + 1]) != learned
        if last or "\ufffd" not in text or len(waiting) == 4:
            found.append((text, learned))
            waiting = []
    return found


def as_text(tokens: Sequence[Piece]) -> Text:
    """For the terminal."""
    from rich.text import Text

    out = Text()
    for text, learned in tokens:
        visible = text.replace("\n", "⏎\n")
        out.append(visible, "black on green" if learned else "bright_black")
        if not visible.endswith("\n"):
            out.append("·", "dim")
    return out


def as_html(examples: Sequence[tuple[str, Sequence[Piece]]]) -> str:
    """One page that needs nothing else."""
    body = []
    for name, tokens in examples:
        spans = "".join(
            f'<span class="{"y" if learned else "n"}">{html.escape(text).replace(chr(10), "⏎<br>")}</span>'
            for text, learned in tokens
        )
        body.append(f"<h2>{html.escape(name)}</h2>\n<p>{spans}</p>")
    return _PAGE.replace("BODY", "\n".join(body))


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>What is learned</title>
<style>
body { font: 16px/1.9 ui-monospace, monospace; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color-scheme: light dark }
h1, h2 { font-family: system-ui, sans-serif } h2 { font-size: 1rem; margin-top: 2rem }
span { border-radius: 3px; padding: 1px 2px; margin: 0 1px; white-space: pre-wrap }
.y { background: #2e9e4f; color: #fff } .n { background: #8883; }
</style>
<h1>What is learned</h1>
<p><span class="y">learned</span> <span class="n">not learned</span></p>
BODY
</html>
"""
