"""The engine ``local``: processes on this machine. One worker is this process itself."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from tunesmith.data.builds.engines.engine import ENGINES
from tunesmith.data.builds.worker import Done, Orders, Unit, work

AHEAD = 3
"""Units per worker that are queued or running: enough that no worker idles, few enough for memory."""

_orders: Orders | None = None


@ENGINES.add("local")
def local(orders: Orders, units: Iterable[Unit], folder: Path, workers: int) -> Iterator[Done]:
    if workers <= 1:
        for unit in units:
            yield work(orders, unit, folder)
        return
    # Not fork: a process with threads (of Arrow, of torch) may hang in its copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(orders,)) as pool:
        waiting: deque[Future[Done]] = deque()
        try:
            for unit in units:
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_work, unit, folder))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(orders: Orders) -> None:
    global _orders
    _orders = orders


def _work(unit: Unit, folder: Path) -> Done:
    assert _orders is not None
    return work(_orders, unit, folder)
