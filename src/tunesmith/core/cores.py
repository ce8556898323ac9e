"""Which cores and memory this process may use, how busy others keep them, how threads should wait. Light to import.

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
from collections.abc import Callable, Iterator
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
    for folder, second in _folders("cpu", proc, mounted):
        names = ("cpu.max",) if second else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        numbers = " ".join(_read(folder / name) for name in names).split()
        if len(numbers) == 2 and numbers[0].isdigit():  # else "max", or -1
            found.append(int(numbers[0]) / int(numbers[1]))
    return min(found, default=None)


def memory_left(proc: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the container leaves to its processes; None where there is no limit."""
    found = []
    for folder, second in _folders("memory", proc, mounted):
        names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, used = (_read(folder / name).strip() for name in names)
        if limit.isdigit() and used.isdigit():
            found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _folders(kind: str, proc: Path, mounted: Path) -> Iterator[tuple[Path, bool]]:
    """The control groups of this process that may limit something, and whether they are of the second version."""
    for line in _read(proc).splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        # Inside a container the path may be that of the host: then only the top of the mount is there to be read.
        for root in (mounted / kinds, mounted / kind) if kinds else (mounted, mounted / "unified"):
            here = root / path.lstrip("/")
            for folder in (here, *here.parents):
                yield folder, not kinds
                if folder == root:
                    break


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


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
