"""Plain text: a row is a line. Blank lines are no rows. Rows keep the spaces they begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.stream import lines
from tunesmith.types import SetAside, Source


def split(path: Path) -> Iterator[Piece]:
    return grouped("text", path, ((number, line, len(line)) for number, line in lines(path)))


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for number, raw in piece.content:
        source = Source(piece.path, number)
        if isinstance(raw, str):
            yield aside(source, raw)
            continue
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield aside(source, f"is not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x})")
            continue
        if line.strip():
            yield Row(line, source)


FILES.add("text")(Kind((".txt", ".text", ".md"), split, parse))
