"""The reader ``text``: plain text, a line or an object with ``text`` each; the field is ``text``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.readers.shape import digest, need
from tunesmith.data.tasks.reader import Found, Record, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

_BESIDE = frozenset(
    [
        "text",
        "id",
        "_id",
        "idx",
        "index",
        "url",
        "link",
        "source",
        "title",
        "date",
        "timestamp",
        "meta",
        "metadata",
        "lang",
        "language",
        "license",
        "licence",
    ]
)
"""What may stand beside a text that is only read. Any other column may be its label."""


def _fits(row: Any) -> bool:
    if isinstance(row, str):
        return True
    return isinstance(row, Mapping) and isinstance(row.get("text"), str) and _BESIDE.issuperset(row)


SIGN = Sign(_fits, "lines of text, or objects with `text` alone", 1)


@row_reader("text", gives="records", sign=SIGN)
def text(row: Any, task: Task) -> Iterator[Found]:
    found = row if isinstance(row, str) else need(row, "text")
    if not found.strip():
        raise Unusable("is empty")
    yield Record(digest(found), {"text": found})
