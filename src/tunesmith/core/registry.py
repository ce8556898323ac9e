"""Names to factories, with near misses.

A kind of plug-in (reader, metric, objective, optimizer ...) is one ``Registry``; a file adds itself
with a decorator and is found by name:

    METRICS = Registry("Metric")

    @METRICS.add("exact_match")
    def exact_match(answer: str, gold: Sequence[str]) -> float: ...

    METRICS["exact_match"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tunesmith.core.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary whose missing keys explain themselves."""

    def __init__(self, kind: str, hint: str = "") -> None:
        self.kind = kind
        self.hint = hint
        self._items: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """A decorator that registers what it decorates under ``name``."""

        def register(item: T) -> T:
            if name in self._items and self._items[name] is not item:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return register

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._items, self.hint) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)
