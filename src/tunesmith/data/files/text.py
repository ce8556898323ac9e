"""Plain text: a row is a line. Blank lines are skipped. Leading spaces are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunesmith.core.types import SetAside
from tunesmith.data.files.file import FILES, Kind, Piece, Row, grouped, text_lines
from tunesmith.data.files.stream import lines


def split(path: Path) -> Iterator[Piece]:
    return grouped("text", path, ((number, line, len(line)) for number, line in lines(path)))


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for found in text_lines(piece):
        if isinstance(found, SetAside):
            yield found
            continue
        source, line = found
        if line.strip():
            yield Row(line.rstrip("\r\n"), source)


FILES.add("text")(Kind((".txt", ".text", ".md"), split, parse))
