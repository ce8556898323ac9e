"""The reader ``jsonl``: one JSON object a line, plain or compressed. A line that cannot be used is set aside, with the
reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tunesmith.data.reader import Record, reader
from tunesmith.data.readers.columns import KEYS, record
from tunesmith.data.readers.files import lines
from tunesmith.data.task import Task
from tunesmith.types import SetAside, Source


@reader("jsonl", KEYS)
def read_jsonl(task: Task) -> Iterator[Record | SetAside]:
    path = task.settings["path"]
    for number, raw in lines(path):
        source = Source(str(path), number)
        if isinstance(raw, str):
            yield SetAside(str(source), raw, source)
            continue
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            row = json.loads(line) if line.strip() else None
        except UnicodeDecodeError as error:
            yield SetAside(str(source), f"is not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x})", source)
            continue
        except (ValueError, RecursionError) as error:
            yield SetAside(str(source), f"is not JSON: {error}", source)
            continue
        if not line.strip():
            continue
        if isinstance(row, dict):
            yield record(task, row, source)
        else:
            yield SetAside(str(source), f"is not an object but {type(row).__name__}", source)
