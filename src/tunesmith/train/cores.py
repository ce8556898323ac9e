"""Which cores this process may use, how busy others keep them, and how threads should wait. Light to import.

    usable()             cores by affinity and by the CPU quota of the container
    busy()               the share of them that others use right now
    choose_waiting()     before torch is imported: whether idle threads spin or sleep

An OpenMP thread that has nothing to do spins before it sleeps. On free cores that is fastest. Where other processes
want the cores, or a quota counts the time, spinning takes it from the thread that is waited for: training with two
threads was ten times slower than with one.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""What a person may have set; then nothing is chosen here."""
BUSY = 0.1
"""Share of the cores from which on they count as shared."""
LOOK = 0.2
"""Seconds over which it is measured."""


def affinity() -> set[int]:
    """The cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def quota(proc: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> float | None:
    """How many cores' time a container may use (cgroup v1 or v2); None where there is no limit."""
    found = []
    try:
        lines = proc.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        # Inside a container the path may be that of the host: then only the top of the mount is there to be read.
        for root in (mounted / kinds, mounted / "cpu", mounted) if kinds else (mounted, mounted / "unified"):
            here = root / path.lstrip("/")
            for folder in (here, *here.parents):
                limit = _limit(folder, second=not kinds)
                if limit is not None:
                    found.append(limit)
                if folder == root:
                    break
    return min(found, default=None)


def _limit(folder: Path, *, second: bool) -> float | None:
    try:
        if second:
            allowed, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            return None if allowed == "max" else int(allowed) / int(period)
        allowed, period = ((folder / f"cpu.cfs_{n}_us").read_text(encoding="ascii") for n in ("quota", "period"))
        return int(allowed) / int(period) if int(allowed) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def usable() -> int:
    """How many threads can run at the same time."""
    limit = quota()
    cores = len(affinity())
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def busy(
    read: Callable[[], str] = lambda: Path("/proc/stat").read_text(encoding="ascii"),
    sleep: Callable[[float], object] = time.sleep,
) -> float:
    """The share of our cores' time that others use, while this process sleeps. 0 where the system does not tell."""
    try:
        idle, total = _times(read())
        sleep(LOOK)
        idle_then, total_then = _times(read())
    except (OSError, ValueError, IndexError):
        return 0.0
    passed = total_then - total
    return 1 - (idle_then - idle) / passed if passed > 0 else 0.0


def _times(stat: str) -> tuple[int, int]:
    """(idle, all) ticks of our cores."""
    ours = {f"cpu{i}" for i in affinity()}
    idle = total = 0
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name in ours:
            numbers = [int(n) for n in ticks[:8]]  # those after them are counted in the first two as well
            idle, total = idle + numbers[3] + numbers[4], total + sum(numbers)
    return idle, total


def choose_waiting(measure: Callable[[], float] = busy) -> None:
    """Let idle threads sleep where others use the cores or a quota counts. No effect once torch is imported."""
    if "torch" in sys.modules or any(name in os.environ for name in WAITS):
        return
    limit = quota()
    if (limit is not None and limit < len(affinity())) or measure() > BUSY:
        os.environ["OMP_WAIT_POLICY"] = "passive"


def waiting() -> str:
    """How idle threads wait, in words."""
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive" or os.environ.get("GOMP_SPINCOUNT") == "0":
        return "sleep"
    return "spin"
