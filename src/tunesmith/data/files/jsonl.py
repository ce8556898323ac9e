"""JSON lines: one value a line. A line that is none is set aside, and reading goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.stream import lines
from tunesmith.types import SetAside, Source


def split(path: Path) -> Iterator[Piece]:
    return grouped("jsonl", path, ((number, line, len(line)) for number, line in lines(path)))


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for number, raw in piece.content:
        source = Source(piece.path, number)
        if isinstance(raw, str):
            yield aside(source, raw)
            continue
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            if not line.strip():
                continue
            value = json.loads(line)
        except UnicodeDecodeError as error:
            yield aside(source, f"is not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x})")
        except (ValueError, RecursionError) as error:
            yield aside(source, f"is not JSON: {error}")
        else:
            yield Row(value, source)


FILES.add("jsonl")(Kind((".jsonl", ".ndjson"), split, parse))
