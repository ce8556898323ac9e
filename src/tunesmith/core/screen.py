"""What a person sees of a command: consoles and progress.

    with progress("questions") as tell:
        tell(120, 400)

On a terminal there are colours and bars. Anywhere else (a log, CI, a pipe) each message is one line, however long, so
that it can be searched; and work that takes long writes a plain line every ten seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""
_NEVER_WRAPPED = 100_000
"""Columns of a console that is not a terminal."""


class Tell(Protocol):
    """Called with how much is done, how much there is, if that is known, of what, if that changes, and what else is to
    be seen."""

    def __call__(self, done: int, total: int | None, what: str = "", note: str = "") -> None: ...


def console(*, stderr: bool = False, quiet: bool = False, highlight: bool = False) -> Console:
    """A console for the person who runs a command. Lines are wrapped on a terminal only."""
    from rich.console import Console

    terminal = Console(stderr=stderr).is_terminal
    return Console(stderr=stderr, quiet=quiet, highlight=highlight, width=None if terminal else _NEVER_WRAPPED)


@contextmanager
def progress(text: str, on: Console | None = None) -> Iterator[Tell]:
    """How far a piece of work is, with its rate and the time left: a bar, or plain lines where there is no terminal."""
    on = on or console(stderr=True)
    with _bar(text, on) if on.is_terminal else _lines(text, on) as tell:
        yield tell


@contextmanager
def _bar(text: str, on: Console) -> Iterator[Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("      {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=on, transient=True) as bar:
        work = Work(text)
        task = bar.add_task(text, total=None, rate="")

        def tell(done: int, total: int | None, what: str = "", note: str = "") -> None:
            work.tell(done, total, what, note)
            bar.update(task, description=work.title, completed=done, total=total, rate=note or work.rate)

        yield tell


@contextmanager
def _lines(text: str, on: Console) -> Iterator[Tell]:
    work, over = Work(text), threading.Event()

    def watch() -> None:
        # Lines come from a thread, because one step of the work may take longer than the time between two lines.
        while not over.wait(EVERY):
            on.print(f"      {work.line()}", highlight=False, markup=False)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield work.tell
    finally:
        over.set()
        thread.join()


class Work:
    """How far a piece of work is."""

    def __init__(self, text: str) -> None:
        self._text = self.title = text
        self._total: int | None = None
        self._done = self._first = 0
        self._began = time.monotonic()
        self._note = ""

    def tell(self, done: int, total: int | None, what: str = "", note: str = "") -> None:
        """Note how far it is; the rate is counted anew where the work is another."""
        title = f"{self._text}: {what}" if what else self.title
        if title != self.title:
            self.title, self._began, self._first = title, time.monotonic(), done
        self._done, self._total, self._note = done, total, note

    @property
    def per_second(self) -> float:
        """Units of work done each second."""
        return (self._done - self._first) / max(1e-9, time.monotonic() - self._began)

    @property
    def rate(self) -> str:
        """``120/s``, ``0.4/s``"""
        return f"{self.per_second:,.0f}/s" if self.per_second >= 10 else f"{self.per_second:.1f}/s"

    def line(self) -> str:
        """``questions: 120 of 400 (30 %), 12/s, 23 s left``"""
        if not self._done:
            return f"{self.title}: begun {clock(time.monotonic() - self._began)} ago"
        if not self._total:
            return f"{self.title}: {self._done:,}, {self._note or self.rate}"
        left = (self._total - self._done) / max(1e-9, self.per_second)
        share = f"{self._done:,} of {self._total:,} ({self._done / self._total:.0%})"
        return f"{self.title}: {share}, {self._note or self.rate}, {clock(left)} left"


def clock(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``2 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
