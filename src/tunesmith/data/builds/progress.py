"""Progress of a build: the current step, how much is done, and the total, if known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[str, int, int | None], None]
T = TypeVar("T")
EVERY = 1000


def silent(what: str, done: int, total: int | None) -> None:
    """Says nothing."""


def counted(rows: Iterable[T], progress: Progress, what: str, total: int | None) -> Iterator[T]:
    """The rows, told as they pass."""
    for n, row in enumerate(rows):
        if n % EVERY == 0:
            progress(what, n, total)
        yield row
