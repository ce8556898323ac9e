"""Notes of a build about its files: how they were read, and what can be done about rejected rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith.core.errors import counted
from tunesmith.data.builds.worker import Done
from tunesmith.data.files.look import look
from tunesmith.data.tasks.placeholders import UNFILLED, names_in
from tunesmith.data.tasks.task import Task


def notes_of(tasks: Sequence[Task], dones: Sequence[Done]) -> tuple[str, ...]:
    """The notes of a build."""
    return (*_read_as(tasks), *_unfilled(dones))


def _read_as(tasks: Sequence[Task]) -> Iterator[str]:
    """Files that are read otherwise than their names say, and those that should be converted."""
    for path in dict.fromkeys(task.settings.get("path") for task in tasks):
        if isinstance(path, Path) and path.is_file():
            yield from (f"{path}: {note}" for note in look(path).notes)


def _unfilled(dones: Sequence[Done]) -> Iterator[str]:
    """Rows that wait for words in their placeholders."""
    count = sum((Counter(done.aside) for done in dones), Counter[str]())[UNFILLED]
    if count:
        told = [row.reason for done in dones for row in done.told if row.reason.startswith(UNFILLED)]
        names = sorted({name for reason in told for name in names_in(reason)})
        fill = " ".join(f"--fill {name}=..." for name in names)
        recipe = ", ".join(f"{name}: ..." for name in names)
        yield (
            f"{counted(count, 'row')} set aside because of placeholders that nothing fills. Fill them: {fill}; in a "
            f"recipe's build stage or a task file: fill: {{{recipe}}}"
        )
