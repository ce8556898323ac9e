"""Tells when processes wait for each other and nothing moves: which one, in which step, at which line.

    watch.begin(rank, ranks)      once, when the processes have met
    watch.at("step 12")           where this process is

A collective operation waits until all processes take part. Where one makes another number of calls, or does something
else, the others wait for as long as the timeout says, which is an hour, and torch says nothing until then. Here a
thread of each process looks once a second at what the main thread does, and writes it where the others can read it.
Nothing is ended: a process may have good reason to take its time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

AFTER = 40.0
"""Seconds at one line of torch.distributed after which it is told; then again after twice as long."""
LOOK = 1.0
"""Seconds between two looks."""
FRAMES = 4
"""Lines of our own code that are told of each process."""

_place = ["the start"]


def at(place: str) -> None:
    """Say where this process is."""
    _place[0] = place


def begin(rank: int, ranks: int) -> None:
    """Watch the thread that calls this, until the process ends."""
    store = TCPStore(  # a connection of its own: that of the process group may be the one that waits
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, wait_for_workers=False
    )
    prefix = f"watch {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    main = threading.get_ident()
    thread = threading.Thread(target=_look, args=(store, prefix, rank, ranks, main), daemon=True, name="watch")
    thread.start()


def _look(store: Any, prefix: str, rank: int, ranks: int, main: int) -> None:
    stack: list[tuple[str, int, str]] = []
    since, after = time.monotonic(), AFTER
    while True:
        time.sleep(LOOK)
        now = _stack(sys._current_frames().get(main))
        if now != stack:
            stack, since, after = now, time.monotonic(), AFTER
        waited = time.monotonic() - since
        state = {"place": _place[0], "waits": _waits(stack), "seconds": round(waited), "stack": _told(stack)}
        try:
            store.set(f"{prefix} {rank}", json.dumps(state))
            if not state["waits"] or waited < after:
                continue
            states = [json.loads(store.get(f"{prefix} {i}")) for i in range(ranks)]
        except (RuntimeError, ValueError):  # the process that holds the store has ended
            return
        after *= 2
        waiting = [i for i, other in enumerate(states) if other["waits"] and other["seconds"] >= AFTER - 2 * LOOK]
        if waiting and waiting[0] == rank:
            print(report(states), file=sys.stderr, flush=True)


def report(states: list[dict[str, Any]]) -> str:
    """Who waits where, for all processes."""
    lines = ["Processes of this run wait for each other, and nothing has moved for a while:"]
    for i, state in enumerate(states):
        what = "waits for the others" if state["waits"] else "computes or does something else"
        lines.append(f"  rank {i}, {state['place']}: {what}, for {state['seconds']} s at this line")
        lines += [f"      {line}" for line in state["stack"]]
    lines.append("Look at the rank that does not wait. If all of them wait, they have made different calls.")
    return "\n".join(lines)


def _stack(frame: FrameType | None) -> list[tuple[str, int, str]]:
    """(file, line, function) of a thread, the innermost first."""
    found = []
    while frame is not None:
        found.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return found


def _waits(stack: list[tuple[str, int, str]]) -> bool:
    """Whether the innermost lines are those of a collective operation."""
    return any("/torch/distributed/" in file for file, _, _ in stack[:3])


def _told(stack: list[tuple[str, int, str]]) -> list[str]:
    """The innermost line, and the innermost of our own."""
    own = [line for line in stack if "/tunesmith/" in line[0] and "/torch/" not in line[0]]
    shown = [*stack[:2], *[line for line in own if line not in stack[:2]][:FRAMES]]
    return [f"{_short(file)}:{number} in {name}" for file, number, name in shown]


def _short(file: str) -> str:
    """The last parts of a path, from the package on."""
    parts = Path(file).parts
    start = max((i for i, part in enumerate(parts) if part in ("torch", "tunesmith", "transformers")), default=-2)
    return "/".join(parts[start:])
