"""JSON lines: one value per line. A line that is not JSON is rejected, and reading continues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tunesmith.core.types import SetAside
from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped, text_lines
from tunesmith.data.files.stream import lines


def split(path: Path) -> Iterator[Piece]:
    return grouped("jsonl", path, ((number, line, len(line)) for number, line in lines(path)))


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for found in text_lines(piece):
        if isinstance(found, SetAside):
            yield found
            continue
        source, line = found
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield aside(source, f"is not JSON: {error}")
        else:
            yield Row(value, source)


FILES.add("jsonl")(Kind((".jsonl", ".ndjson"), split, parse))
