"""How much time and memory one rendering of a template may take, and what it has taken so far."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from time import thread_time
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2.exceptions import TemplateRuntimeError
from jinja2.utils import Namespace

STEPS = 1_000_000
"""Blocks, calls and filters of one rendering. A conversation of a thousand messages takes some 50,000."""
MOST = 8_000_000
"""The size of one value: its characters, and ``ELEMENT`` for each text or element."""
WORK = 128_000_000
"""The sizes of all values that one rendering makes."""
ELEMENT = 32
PER_INPUT = 16
"""What one value may be larger for each character that the template is given; all values together 8 times that."""
SECONDS = 5.0
"""Time of the thread that one rendering may take. Most that is too long is counted out within a second."""
DIGITS = 4300
"""Digits of a whole number: Python writes no longer ones."""
RANGE = 100_000
SOURCE = 500_000
"""Characters of a template."""
BITS = int(DIGITS * 3.33)


class LimitReached(TemplateRuntimeError):
    """A template asks for too much; the message says of what."""


class Budget:
    """What is left of one rendering."""

    steps = 0
    printed = 0
    """Characters of lists and dictionaries that were printed."""
    most = MOST
    work = WORK
    began = -1.0

    def __init__(self, values: Any) -> None:
        self.values = values

    def step(self) -> None:
        self.steps += 1
        if self.steps & 15 == 0:
            self.look()

    def look(self) -> None:
        if self.steps > STEPS:
            raise LimitReached(f"more than {STEPS:,} steps")
        now = thread_time()
        if self.began < 0:
            self.began = now
        if now - self.began > SECONDS:
            raise LimitReached(f"more than {SECONDS:.0f} seconds")

    def take(self, size: int) -> None:
        """A value of this size is made."""
        self.work -= size
        if size > self.most or self.work < 0:
            self._extend()
            if size > self.most:
                raise LimitReached(f"a value of more than {self.most:,} characters")
            if self.work < 0:
                raise LimitReached("too many long values")

    def _extend(self) -> None:
        """Who is given much may make much. What is given is measured when that first matters."""
        if self.values is not None:
            given = size_of(self.values, 1 << 62)
            self.most += PER_INPUT * given
            self.work += 8 * PER_INPUT * given
            self.values = None


class _Now(threading.local):
    budget: Budget | None = None


NOW = _Now()


def budget_now() -> Budget:
    budget = NOW.budget
    if budget is None:  # while compiling, where Jinja takes any error for "not a constant"
        raise LimitReached("to be rendered outside of limited()")
    return budget


class limited:
    """A budget for one rendering, of these values."""

    __slots__ = ("before", "values")

    def __init__(self, values: Any) -> None:
        self.values = values

    def __enter__(self) -> None:
        self.before = NOW.budget
        NOW.budget = Budget(self.values)

    def __exit__(self, *error: object) -> None:
        NOW.budget = self.before


def size_of(value: Any, most: int) -> int:
    """Characters and elements in a value, however deep; no more is counted once it is over ``most``."""
    if isinstance(value, str):
        return str.__len__(value)
    if not isinstance(value, _HOLDERS):
        return len(value) if isinstance(value, bytes) else ELEMENT
    size, waiting = 0, [value]
    while waiting and size <= most:
        here = waiting.pop()
        if isinstance(here, Namespace):
            here = here._Namespace__attrs
        size += ELEMENT * len(here)
        items: Iterable[Any] = here
        if isinstance(here, dict):
            size += sum(str.__len__(key) for key in here if isinstance(key, str))
            items = here.values()
        for item in items:
            if isinstance(item, str):
                size += str.__len__(item)
            elif isinstance(item, _HOLDERS):
                waiting.append(item)
    return size


_HOLDERS = (list, tuple, dict, set, frozenset, Namespace)
BOUND = (MethodType, BuiltinMethodType)
SIZED = (str, bytes, *_HOLDERS)


def depth(value: Any) -> int:
    """How deep lists and dictionaries lie in each other."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [v for here in level for v in (here.values() if isinstance(here, Mapping) else here)]
        level = [v for v in inner if isinstance(v, (list, tuple, Mapping))]
    return depth


def type_len(value: Any) -> int:
    """The size of a text or list, without what lies in the elements."""
    return str.__len__(value) if isinstance(value, str) else ELEMENT * len(value)
