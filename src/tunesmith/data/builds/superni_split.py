"""The official splits of Super-NaturalInstructions, applied to the tasks that are there.

official("default", tasks)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tunesmith.core.document import shipped
from tunesmith.core.errors import UnknownName
from tunesmith.core.types import SetAside
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.tasks.task import Task


class Official(NamedTuple):
    """An official split, applied to the tasks that are there."""

    tasks: tuple[Task, ...]
    """Those that it trains on or tests with."""
    held_out: HeldOut
    left_out: tuple[SetAside, ...]
    """The others, with the reason."""


def official(split: str, tasks: Sequence[Task]) -> Official:
    """The official split ``default`` or ``xlingual``. A category of which only test tasks are there is held out as a
    cluster; the other test tasks are held out one by one."""
    splits = _splits()
    if split not in splits:
        raise UnknownName("Split of Super-NaturalInstructions", split, splits)
    places = {name: place for place, names in splits[split].items() for name in names}
    found: dict[str, list[Task]] = {"train": [], "test": []}
    left: list[SetAside] = []
    for task in tasks:
        match = re.match(r"task(\d+)_", task.id)
        own = task.reader != "superni" or not match
        place = "train" if own or not match else places.get(task.stem) or places.get(str(int(match.group(1))), "none")
        if place in found:
            found[place].append(task)
        else:
            why = "excludes it" if place == "excluded" else "does not name it"
            left.append(SetAside(task.id, f"the official split {split!r} {why}", task.source))
    trained = {task.cluster for task in found["train"]}
    clusters = sorted({task.cluster for task in found["test"]} - trained)
    held = tuple(task.id for task in found["test"] if task.cluster in trained)
    return Official((*found["train"], *found["test"]), HeldOut(clusters=tuple(clusters), tasks=held), tuple(left))


@lru_cache(maxsize=1)
def _splits() -> Mapping[str, Mapping[str, frozenset[str]]]:
    return {
        split: {place: frozenset(_names(str(ranges))) for place, ranges in places.items()}
        for split, places in shipped(Path(__file__).with_suffix(".yaml")).items()
    }


def _names(ranges: str) -> Iterator[str]:
    """``1-3 7 task9_x`` is 1, 2, 3, 7, task9_x."""
    for part in ranges.split():
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from map(str, range(int(first), int(last or first) + 1))
        else:
            yield part
