"""What an engine is: it runs units of work, and yields their results in the order of the units.

    @ENGINES.add("local")
    def local(orders: Orders, units: Iterable[Unit], folder: Path, workers: int) -> Iterator[Done]: ...

It must hold no more than a few units at a time: they come from a stream that may be longer than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tunesmith.core.registry import Registry
from tunesmith.data.builds.worker import Done, Orders, Unit

Engine = Callable[[Orders, Iterable[Unit], Path, int], Iterator[Done]]
ENGINES: Registry[Engine] = Registry("Engine")
