"""Names to factories, with near misses.

A kind of plug-in (reader, metric, objective, optimizer ...) is one ``Registry``; a file adds itself
with a decorator and is found by name:

    METRICS = Registry("Metric")

    @METRICS.add("exact_match")
    def exact_match(answer: str, gold: Sequence[str]) -> float: ...

    METRICS["exact_match"]

A registry that names its ``room`` is open to plug-ins: those that are installed are imported as soon as a name is
looked up that is not there, and it is noted which module has registered something for that room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tunesmith.core import plugins
from tunesmith.core.errors import PluginError, UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary whose missing keys explain themselves."""

    def __init__(self, kind: str, hint: str = "", *, room: str = "") -> None:
        """``room`` is the part of the package whose results depend on what is registered here."""
        self.kind = kind
        self.hint = hint
        self.room = room
        self._items: dict[str, T] = {}
        self._modules: dict[str, str] = {}

    def add(self, name: str, module: str | None = None) -> Callable[[T], T]:
        """A decorator that registers what it decorates under ``name``. ``module`` is where it is defined, if the item
        itself does not say so."""

        def register(item: T) -> T:
            where = module or str(getattr(item, "__module__", ""))
            before = self._modules.get(name, "")
            # A cell of a notebook is run again and again; then the newest definition counts.
            if name in self._items and self._items[name] is not item and not before == where == plugins.SCRIPT:
                raise PluginError(f"{self.kind} {name!r} is registered twice: by {before} and by {where}.")
            self._items[name] = item
            self._modules[name] = where
            if self.room:
                plugins.note(where, self.room)
            return item

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise UnknownName(self.kind, name, self._items, self.hint)
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._items:
            self._look_outside()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        self._look_outside()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        self._look_outside()
        return len(self._items)

    def _look_outside(self) -> None:
        if self.room:
            plugins.load_installed()
