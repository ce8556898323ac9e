"""The reader ``text``: plain text, a line or an object with ``text`` each; the field is ``text``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.reader import Found, Record, Sign, Unusable, row_reader
from tunesmith.data.readers.shape import digest, need
from tunesmith.data.task import Task

SIGN = Sign(
    lambda row: isinstance(row, str) or (isinstance(row, Mapping) and isinstance(row.get("text"), str)),
    "lines of text, or objects with `text`",
    1,
)


@row_reader("text", gives="records", sign=SIGN)
def text(row: Any, task: Task) -> Iterator[Found]:
    found = row if isinstance(row, str) else need(row, "text")
    if not found.strip():
        raise Unusable("is empty")
    yield Record(digest(found), {"text": found})
