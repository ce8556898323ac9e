"""How many threads compute the steps of a run: measured at its start and, where no bit depends on it, watched.

    with threads_of(ranks, compute, say, begun) as threads:
        ...
        threads.count(tokens, seconds)        after each step

More threads are faster on free cores and can be many times slower beside other work. So the first batch is computed
with each number, and the fastest is taken. The same computations say whether results depend on the number. Matrix
products do not (see ``MKL_CBWR`` in the package's ``__init__``); LayerNorm's backward pass does. Where they depend on
it, the number of the start is kept, also by a run that goes on. Where not, it is measured again during the run.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.cores import usable, waiting
from tunesmith.train.parallel import Ranks

SURE = 2
"""Up to so many threads, equal results on one batch are equal results on all. torch divides element-wise work into
equal parts, and among three threads they end within a vector register, whose rest is computed by another routine."""
BETTER = 0.8
"""Another number of threads is taken where it needs less than this share of the time."""
WORSE = 1.5
"""Steps that take this many times what they took are a reason to look at once."""
PATIENCE, SHARE = 5.0, 20
"""Seconds between two looks at another number: at least so many, and so many times what the look has cost."""
TOLD = 5
"""How many changes are told."""

Compute = Callable[[], Tensor]
"""Computes a batch; gives what it found, to be compared bit by bit."""


class Threads:
    """The number of threads, and what each number has cost."""

    def __init__(self, most: int, now: int, *, free: bool, say: Callable[[str], None]) -> None:
        self.most, self.now, self.free = most, now, free
        self._say = say
        self._costs: dict[int, float] = {}
        """Seconds for a token, of late."""
        self._base = 0.0
        """The same, when the number was chosen."""
        self._looking = False
        self._waited, self._wait, self._told = 0.0, PATIENCE, 0
        torch.set_num_threads(now)

    def count(self, tokens: int, seconds: float) -> None:
        """Count a step, and choose the number for the next one."""
        if not self.free or self.most == 1:
            return
        cost = seconds / max(1, tokens)
        other = self._other
        if self._looking:
            self._looking, self._waited = False, 0.0
            self._wait = max(PATIENCE, SHARE * seconds)
            self._costs[other] = cost
            if cost < BETTER * self._costs[self.now]:
                self._tell(other, self._costs[self.now] / cost)
                self.now, self._base = other, cost
            torch.set_num_threads(self.now)
            return
        before = self._costs.get(self.now)
        self._costs[self.now] = cost if before is None else 0.7 * before + 0.3 * cost
        self._base = min(self._base or cost, self._costs[self.now])
        self._waited += seconds
        slow = self._costs[self.now] > WORSE * self._base and self._waited > 0.25 * self._wait
        if before is not None and (slow or self._waited > self._wait):
            self._looking = True
            torch.set_num_threads(other)

    @property
    def _other(self) -> int:
        return self.most + 1 - self.now  # of one and two

    def _tell(self, number: int, times: float) -> None:
        self._told += 1
        if self._told <= TOLD:
            more = " Further changes are not told." if self._told == TOLD else ""
            self._say(f"Goes on with {_count(number)}: {times:.1f} times faster now than {self.now}.{more}")


@contextmanager
def threads_of(
    ranks: Ranks, compute: Compute | None, say: Callable[[str], None], begun: Mapping[str, Any]
) -> Iterator[Threads]:
    """Choose the number of threads for a run. ``begun`` is what its checkpoint says: the number of threads, and whether
    the results were ``free`` of it. Afterwards the number is what it was before."""
    before = torch.get_num_threads()
    most = min(usable(), before)
    kept = begun.get("threads")
    try:
        if compute is None or ranks.device.type != "cpu" or ranks.size > 1 or "OMP_NUM_THREADS" in os.environ:
            if kept not in (None, before):
                say(another("threads", kept, before))
            yield Threads(before, before, free=False, say=say)
            return
        costs, same = _measure(most, compute)
        free = same and most <= SURE and begun.get("free", True)
        now = min(costs, key=lambda n: (costs[n], n))
        text = f"Computes with {_count(now)} of {most}"
        if not free and kept is not None and kept <= most:
            now, text = (
                kept,
                f"Computes with {_count(kept)} of {most}, as the run was begun: its last bits depend on it",
            )
        elif not free and kept is not None:
            say(another("threads", kept, now))
        if most > 1:
            times = ", ".join(f"{1000 * cost:,.0f} ms with {n}" for n, cost in costs.items())
            say(f"{text} (a batch takes {times}). Threads that wait {waiting()}.")
        yield Threads(most, now, free=free, say=say)
    finally:
        torch.set_num_threads(before)


def another(what: str, before: int, now: int) -> str:
    """That the machine differs from the one on which the run was begun."""
    return (
        f"The run was begun with {before} {what} and goes on with {now}: the result will be as good, "
        "but not the same to the last bit."
    )


def _measure(most: int, compute: Compute) -> tuple[dict[int, float], bool]:
    """Seconds of a batch with each number of threads, and whether all give the same bits."""
    costs: dict[int, float] = {}
    seen = set()
    number = most
    while number:
        torch.set_num_threads(number)
        seen.add(_digest(compute()))  # the first time pays for kernels and memory
        began = time.perf_counter()
        found = compute()
        costs[number] = time.perf_counter() - began
        seen.add(_digest(found))
        if costs[number] > 2 * min(costs.values()):
            break  # fewer would be slower still
        number //= 2
    if 1 not in costs:
        torch.set_num_threads(1)
        seen.add(_digest(compute()))
    return costs, len(seen) == 1


def _digest(found: Tensor) -> bytes:
    return hashlib.blake2b(found.view(torch.uint8).numpy().tobytes(), digest_size=16).digest()


def _count(number: int) -> str:
    return f"{number} thread{'s' * (number != 1)}"
