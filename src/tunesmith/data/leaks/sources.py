"""Evaluation sets and training rows as the leak audit compares them, from any file that a reader knows at sight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tunesmith.core.document import path_of
from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside
from tunesmith.data import store
from tunesmith.data.files import files_in
from tunesmith.data.leaks.item import Item, item_of
from tunesmith.data.load.detect import detect, task_of
from tunesmith.data.load.examples import placed
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.data.tasks.task import Task

ANSWERS = frozenset(["answer", "answers", "completion", "label", "output", "rationale", "reference", "target"])
"""Fields of a labelled row that are not asked."""


def items(place: str | Path) -> list[Item]:
    """The items of a file, or of all files of a folder. Of labelled rows the fields are
    compared: the wording of an evaluation is not known here, and gives nothing away."""
    path = path_of(place)
    if not path.exists():
        raise DataError(f"{path}: the evaluation set does not exist. Name a file or a folder of files.")
    found = [item for file in files_in(path) for item in _of_file(file)]
    if not found:
        raise DataError(f"{path}: no row of the evaluation set can be read.")
    return found


def evaluation_sets(places: Iterable[str | Path]) -> dict[str, list[Item]]:
    """The sets, by the names of their files."""
    found: dict[str, list[Item]] = {}
    for place in places:
        name = Path(place).name.split(".")[0]
        found[name if name not in found else str(place)] = items(place)
    return found


def training_items(places: Iterable[str | Path]) -> Iterator[Item]:
    """What training rows say, as a stream: of builds, of Parquet that a build wrote, or of any file."""
    for place in places:
        path = path_of(place)
        if not path.exists():
            raise DataError(f"{path}: there are no training rows. Name a build, or a file of rows.")
        built = [path] if store.is_one(path) else sorted(path.glob("train.instruction/*.parquet"))
        compared = sorted(path.glob("compared.train.parquet"))
        if built or compared:
            yield from map(item_of, store.conversations(*built))
            yield from map(item_of, store.comparisons(*compared))
            continue
        for file in files_in(path):
            yield from _of_file(file)


def _of_file(file: Path) -> Iterator[Item]:
    detected = detect(file)
    reader = READERS[detected.reader]
    if reader.gives == "words":
        task = task_of(file)
    else:
        task = Task(
            file.name,
            "",
            detected.language,
            file.name,
            detected.reader,
            (),
            settings={"path": file, **detected.settings},
        )
    for row in reader.read(task):
        if isinstance(row, Record):
            yield _of_record(row)
        elif not isinstance(row, SetAside):
            yield item_of(placed(task, row))


def _of_record(record: Record) -> Item:
    asked: list[str] = []
    said: list[str] = []
    for key, value in record.fields.items():
        (said if key in ANSWERS else asked).extend([value] if isinstance(value, str) else value)
    return Item(str(record.source), tuple(dict.fromkeys(asked)), tuple(dict.fromkeys(said)), "", record.source)
