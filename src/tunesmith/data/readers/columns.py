"""From the columns of a row to a ``Record``: what the readers of files share.

The key ``fields`` of a task file maps the names that templates use to the columns of the file; without
it every column is a field. ``id`` and ``group`` name columns too. A row without an id of its own gets a
digest of its content, so that it keeps its place, held out or not, when lines around it come and go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tunesmith.data.reader import Key, Record, Value
from tunesmith.data.task import Task
from tunesmith.types import SetAside, Source

KEYS: dict[str, Key] = {
    "path": Key("path"),
    "fields": Key("map", required=False),
    "id": Key("text", required=False),
    "group": Key("text", required=False),
}


def record(task: Task, row: Mapping[str, Any], source: Source) -> Record | SetAside:
    """The record of one row, or why there is none."""
    wanted: Mapping[str, str] = task.settings.get("fields") or {name: name for name in row}
    fields: dict[str, Value] = {}
    for name, column in wanted.items():
        value = _text(_column(row, column))
        if value is not None:
            fields[name] = value
    for value in fields.values():
        if not _is_unicode(value):
            return SetAside(str(source), "holds half a surrogate pair, which is not Unicode text", source)
    about: dict[str, str] = {}
    for key in ("id", "group"):
        if key in task.settings:
            found = _text(_column(row, task.settings[key]))
            if not isinstance(found, str) or not found.strip():
                return SetAside(str(source), f"the column {task.settings[key]!r} ({key}) is missing or empty", source)
            about[key] = found.strip()
    if not fields:
        return SetAside(str(source), "none of the wanted columns is there", source)
    return Record(about.get("id") or _digest(fields), fields, about.get("group", ""), source)


def _column(row: Mapping[str, Any], column: str) -> Any:
    """A column by name; ``answers.text`` looks into a nested object."""
    if column in row:
        return row[column]
    here: Any = row
    for part in column.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return None
        here = here[part]
    return here


def _text(value: Any) -> Value | None:
    """A value of JSON as text; a list of them as several."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        items = (_text(item) for item in value)
        return tuple(item for item in items if isinstance(item, str))
    return json.dumps(value, ensure_ascii=False)


def _is_unicode(value: Value) -> bool:
    try:
        "".join(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(fields: Mapping[str, Value]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
