"""Read and build data.

found = read("chats.jsonl")                           rows as they are, and those that cannot be used with their reasons
data = build(["chats.jsonl", "tasks/"], "data/mix")   split, cleaned, written; data.train, data.held_out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tunesmith.api.checked import checked
from tunesmith.core.document import path_of
from tunesmith.core.errors import RecipeError
from tunesmith.core.types import Conversation, Level
from tunesmith.data.builds import datacard, manifest
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.builds.ledger import Ledger, Step
from tunesmith.data.load.examples import Read
from tunesmith.data.load.examples import read as read_tasks
from tunesmith.data.load.tasks import with_fill
from tunesmith.data.tasks.task import Task
from tunesmith.stages import rows
from tunesmith.stages.build import Build, load_tasks_of
from tunesmith.stages.stage import Job

Places = str | Path | Task | Sequence[str | Path | Task]
"""Data files, task files, folders of them, or tasks."""


@dataclass(frozen=True, slots=True)
class Data:
    """A build on disk."""

    folder: Path
    format: str = "instruction"

    @classmethod
    def open(cls, folder: str | Path) -> Data:
        """A build that is there already: of ``build``, of ``tunesmith data build``, or of a recipe's build stage."""
        return cls(path_of(folder), str(manifest.load(path_of(folder))["format"]))

    @property
    def ledger(self) -> Ledger:
        """How many rows came in, where they went, and why some are not used."""
        return Ledger(tuple(Step(**step) for step in manifest.load(self.folder, self.format)["ledger"]))

    @property
    def train(self) -> list[Conversation]:
        """The rows to train on."""
        return rows.train(self.folder, self.format)

    @property
    def held_out(self) -> dict[Level, list[Conversation]]:
        """The rows that are only asked, by what is new in them; ``seen`` is a sample of the training rows."""
        return rows.held_out(self.folder, self.format)


def tasks(places: Places) -> list[Task]:
    """The tasks of data files, task files and folders."""
    given = [places] if isinstance(places, str | Path | Task) else list(places)
    named = [str(place) for place in given if not isinstance(place, Task)]
    return [*(place for place in given if isinstance(place, Task)), *(load_tasks_of(named) if named else [])]


def read(places: Places) -> Read:
    """All rows, without a split and without cleaning: ``examples``, ``conversations`` and ``comparisons`` by task, and
    ``set_aside`` with a reason for each row that cannot be used."""
    return read_tasks(tasks(places))


def build(
    places: Places,
    out: str | Path,
    *,
    held_out: HeldOut | str | Path | None = None,
    seed: int = 1,
    format: str = "instruction",
    progress: bool = False,
    **settings: Any,
) -> Data:
    """Build data into a folder: read, clean, hold out, split, write, with a data card and a proof of the split.

    ``held_out`` says what is only asked; by default a tenth of the instances. ``settings`` are those of a recipe's
    build stage: ``per_level``, ``workers``, ``clean``, ``few_shot`` and so on.
    """
    if elsewhere := sorted({"kind", "tasks", "text", "formats"} & set(settings)):
        raise RecipeError(f"build(): {elsewhere[0]!r} is a setting of a recipe's build stage alone. Leave it out here.")
    stage = checked(Build, {"kind": "build", "formats": [format], **settings}, "build()")
    folder = path_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    wish = HeldOut(instance_fraction=0.1) if held_out is None else held_out
    wish = wish if isinstance(wish, HeldOut) else HeldOut.load(path_of(wish))
    job = Job(folder.name, folder, seed, console=Console(quiet=not progress))
    stage.build(job, with_fill(tasks(places), stage.fill), wish, format)
    datacard.write(folder, format)
    return Data(folder, format)
