"""The reader ``table``: any file of rows with columns, through a mapping of columns to fields.

    reader: table
    path: reviews.csv.gz
    fields: {text: review_body, y: sentiment}    default: every column is a field; `a.b` looks into nested objects
    id: key                                      default: a digest of the row's fields
    group: author                                what must not be split between training and test

A row without an id of its own gets a digest of its content, so that it keeps its place, held out or not, when lines
around it come and go.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tunesmith.data.readers.shape import digest, shown
from tunesmith.data.tasks.reader import Found, Key, Record, Sign, Unusable, Value, column, row_reader
from tunesmith.data.tasks.task import Task

KEYS: dict[str, Key] = {
    "fields": Key("map", required=False),
    "id": Key("text", required=False),
    "group": Key("text", required=False),
}


@row_reader("table", keys=KEYS, gives="records", sign=Sign(lambda row: isinstance(row, Mapping), "objects", 0))
def table(row: Any, task: Task) -> Iterator[Found]:
    if not isinstance(row, Mapping):
        raise Unusable(f"is {shown(row)}, wanted an object")
    wanted: Mapping[str, str] = task.settings.get("fields") or {name: name for name in row}
    fields: dict[str, Value] = {}
    for name, own in wanted.items():
        try:
            value = _text(column(row, own))
        except TypeError as error:
            told = f"the column {own!r} {error}; the task's `fields` names the columns to read"
            raise Unusable(told) from None
        if value is not None:
            fields[name] = value
    about: dict[str, str] = {}
    for key in ("id", "group"):
        if key in task.settings:
            value = column(row, task.settings[key])
            found = _text(value) if not isinstance(value, bytes) else None
            if not isinstance(found, str) or not found.strip():
                raise Unusable(f"the column {task.settings[key]!r} ({key}) is missing or empty")
            about[key] = found.strip()
    if not fields:
        raise Unusable("none of the wanted columns is there")
    id = about.get("id") or digest(json.dumps(fields, sort_keys=True, ensure_ascii=False))
    yield Record(id, fields, about.get("group", ""), raw=row if task.borrows else {})


def _text(value: Any) -> Value | None:
    """A value as text; a list of them as several. NaN, as tables write what is missing, is missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        items = (_text(item) for item in value)
        return tuple(item for item in items if isinstance(item, str))
    if isinstance(value, bool | int | float | Mapping):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return _plain(value)


def _plain(value: Any) -> str:
    """What Parquet holds besides the values of JSON. Bytes are pictures, sound or other files."""
    if isinstance(value, date | time | timedelta | Decimal | UUID):
        return str(value)
    raise TypeError(f"holds {type(value).__name__}, which is no text")
