"""What a reader is: the part that knows where the rows of a task come from.

A task file names its reader and gives it the keys that the reader asks for. In goes the ``Task``; out
comes a ``Record`` for every row, or a ``SetAside`` with file, line and reason for one that cannot be
used. A new source of data is a function that registers itself:

    @reader("jsonl", {"path": Key("path"), "fields": Key("map", required=False)})
    def read_jsonl(task: Task) -> Iterator[Record | SetAside]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tunesmith.registry import Registry
from tunesmith.types import SetAside, Source

if TYPE_CHECKING:
    from tunesmith.data.task import Task

NOWHERE = Source("")

Value = str | tuple[str, ...]
"""A field of a record: a text, or several (alternative answers, options to choose among)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it was found, before it becomes an ``Example`` of a task."""

    id: str
    """Unique in its task and the same tomorrow, for what is held out is held out by it."""
    fields: Mapping[str, Value]
    group: str = ""
    """What must not be split between training and test. Default: the task (without language) and the id."""
    source: Source = NOWHERE


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the task file that a reader asks for."""

    kind: Literal["text", "path", "map"]
    """``path`` is relative to the task file and must exist; ``map`` is a mapping of texts to texts."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """A function that reads the rows of a task, and the keys of the task file that are its own."""

    read: Callable[[Task], Iterator[Record | SetAside]]
    keys: Mapping[str, Key] = field(default_factory=dict)


READERS: Registry[Reader] = Registry("Reader")


def reader(
    name: str, keys: Mapping[str, Key]
) -> Callable[[Callable[[Task], Iterator[Record | SetAside]]], Callable[[Task], Iterator[Record | SetAside]]]:
    """Register the decorated function under ``name``."""

    def register(
        read: Callable[[Task], Iterator[Record | SetAside]],
    ) -> Callable[[Task], Iterator[Record | SetAside]]:
        READERS.add(name)(Reader(read, dict(keys)))
        return read

    return register
