"""The reader ``labelled``: a data set as one object: its ``labels``, and its splits as lists of ``{sentence, label}``.

    pattern: 'question: (?P<question>.*)\\npassage: (?P<passage>.*)'    takes it apart; named groups are fields
    splits: train, test                                                 default: all there are

The fields are ``sentence``, ``label``, ``split`` and those of the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside
from tunesmith.data.readers.shape import digest, items, list_of, maybe, need
from tunesmith.data.tasks.reader import Found, Key, Record, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task

SPLITS = ("train", "dev", "validation", "test")


@row_reader(
    "labelled",
    keys={"pattern": Key("text", required=False), "splits": Key("text", required=False)},
    gives="records",
    sign=has("labels", any_of=SPLITS),
)
def labelled(row: Any, task: Task) -> Iterator[Found]:
    labels = items(row, "labels")
    pattern = _compiled(task.settings["pattern"], str(task.source)) if "pattern" in task.settings else None
    wanted = [name.strip() for name in task.settings.get("splits", ",".join(SPLITS)).split(",")]
    name = maybe(row, "dataset") or task.name
    for split in wanted:
        for i, one in enumerate(list_of(row, split)):
            place = f"{name}/{split}[{i}]"
            try:
                yield _record(one, pattern, labels, split, name)
            except Unusable as error:
                yield SetAside(place, str(error))


def _record(one: Any, pattern: re.Pattern[str] | None, labels: Any, split: str, name: str) -> Record:
    sentence, label = need(one, "sentence"), need(one, "label")
    if label not in labels:
        raise Unusable(f"has a label that the set does not list: {label!r}")
    fields: dict[str, str] = {"sentence": sentence.strip(), "label": label, "split": split}
    if pattern:
        match = pattern.fullmatch(sentence.strip())
        if not match:
            raise Unusable("does not match the pattern of the task")
        fields |= {key: value.strip() for key, value in match.groupdict().items() if value is not None}
    id = digest(sentence, label)
    # The row, whatever a task makes of it, is one source: all tasks over the set hold it out together.
    return Record(f"{split}_{id}", fields, group=f"{name}/{digest(sentence)}")


@lru_cache(maxsize=256)
def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"{where}: the pattern {pattern!r} is no regular expression: {error}") from None
