"""``tunesmith chat``: talk to a model, as it was trained: the same encoder, the same stop tokens.

In goes a run or any Hugging Face model folder with a chat template. Answers stream, the conversation is remembered,
and lines that begin with a slash are commands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.core import screen

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import PreTrainedModel

    from tunesmith.chat import ChatFormat
    from tunesmith.core.types import Message
    from tunesmith.models.generate import Sampling

HELP = """\
/system TEXT   set the system message and begin anew (without TEXT: take it away)
/reset         forget the conversation
/history       show the conversation
/help          show this
/quit          leave (or Ctrl-D)"""


def chat(
    model: Annotated[Path, typer.Argument(help="A run such as runs/quickstart, a stage of one, or a model folder.")],
    message: Annotated[str | None, typer.Argument(help="Answer this one message and leave.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", min=0, help="0: always the likeliest token. 1: as the model would.")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw from the likeliest tokens that make up this share.")
    ] = 1.0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="For temperatures above 0.")] = 0,
) -> None:
    """Talk to a model.

    [bold]Examples[/]

        tunesmith chat runs/quickstart                                      [dim]a conversation; /help for commands[/]
        tunesmith chat runs/quickstart "What is the capital of France?"     [dim]one question[/]
        tunesmith chat runs/quickstart/pretrain                             [dim]the base, before tuning[/]
    """

    from tunesmith.core.errors import TunesmithError
    from tunesmith.models.generate import Sampling

    console = screen.console()
    talk = open_talk(model, system, Sampling(temperature, top_p, seed), max_tokens)
    if message is not None:
        _say(console, talk.answer(message))
        return
    console.print(f"[bold]{model}[/] [dim]{talk.described}. /help for commands, /quit to leave.[/]")
    while True:
        try:
            line = _read(console)
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if not line.strip():
            continue
        if line.startswith("/"):
            reply = talk.command(line)
            if reply is None:
                return
            console.print(reply, style="dim", markup=False)
            continue
        try:
            _say(console, talk.answer(line))
        except KeyboardInterrupt:
            console.print(" [dim](stopped)[/]")
        except TunesmithError as error:
            console.print(str(error), style="red", markup=False)


def _read(console: Console) -> str:
    if sys.stdin.isatty():
        import readline  # noqa: F401  (input() gets line editing and history from it)

        return input("› ")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    console.print(f"› {line.rstrip()}", markup=False)
    return line.rstrip("\n")


def _say(console: Console, parts: Iterator[str]) -> None:
    from tunesmith.ask.safe import printable

    for part in parts:
        console.print(printable(part), end="", markup=False, soft_wrap=True)
    console.print()


def open_talk(folder: Path, system: str | None, sampling: Sampling, max_tokens: int) -> Talk:
    """Load a model and its chat format."""
    from tunesmith.api.folders import open_folder
    from tunesmith.models.load import load_model
    from tunesmith.stages.training import open_format

    opened = open_folder(folder)
    model = load_model(opened.folder)
    return Talk(model, open_format(opened.folder), system, sampling, max_tokens)


class Talk:
    """A conversation with a model, which goes on until it is reset."""

    def __init__(
        self, model: PreTrainedModel, fmt: ChatFormat, system: str | None, sampling: Sampling, max_tokens: int
    ) -> None:
        from tunesmith.models.generate import Memory

        self.model, self.fmt, self.sampling, self.max_tokens = model, fmt, sampling, max_tokens
        self.messages: list[Message] = []
        self.memory = Memory()
        self._set_system(system)

    @property
    def described(self) -> str:
        """One line on the model."""
        size = sum(p.numel() for p in self.model.parameters())
        text = f"{size / 1e9:.1f} B" if size >= 1e9 else f"{size / 1e6:.1f} M"
        return f"{type(self.model).__name__}, {text} parameters"

    def answer(self, text: str) -> Iterator[str]:
        """Add a message and stream the answer. A partial answer is kept when one stops listening."""
        from tunesmith.chat.decode import Decoder
        from tunesmith.core.errors import TunesmithError
        from tunesmith.core.types import Message
        from tunesmith.models.generate import stream

        before = list(self.messages)
        self.messages.append(Message("user", text))
        ids: list[int] = []
        decoder = Decoder.of(self.fmt)
        try:
            for id in stream(
                self.model,
                self.fmt.prompt(self.messages),
                stop_ids=self.fmt.stop_ids,
                max_new_tokens=self.max_tokens,
                sampling=self.sampling,
                memory=self.memory,
            ):
                ids.append(id)
                if part := decoder.add(id):
                    yield part
            if rest := decoder.rest():
                yield rest
        except TunesmithError:
            self.messages = before
            raise
        finally:
            if len(self.messages) > len(before):
                self.messages.append(Message("assistant", self.fmt.decode(ids)))

    def command(self, line: str) -> str | None:
        """Do what a line with a slash asks; the reply, or None to leave."""
        from tunesmith.core.errors import nearest

        name, _, rest = line[1:].strip().partition(" ")
        match name:
            case "quit" | "exit" | "q":
                return None
            case "reset":
                system = self.messages[0].content if self.messages and self.messages[0].role == "system" else None
                self._set_system(system)
                return "Forgotten."
            case "system":
                self._set_system(rest.strip() or None)
                return "System message set." if rest.strip() else "System message taken away."
            case "history":
                return "\n".join(f"{m.role}: {m.content}" for m in self.messages) or "Nothing has been said."
            case "help":
                return HELP
        close = nearest(name, ("quit", "reset", "system", "history", "help"))
        return f"There is no /{name}." + (f" Did you mean /{close}?" if close else " See /help.")

    def _set_system(self, text: str | None) -> None:
        from tunesmith.core.types import Message

        self.messages = [Message("system", text)] if text else []
