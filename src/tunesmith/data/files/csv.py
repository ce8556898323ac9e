"""Tables as text: the first row names the columns; ``.tsv`` and ``.tab`` are read with tabs.

A row that cannot be used (columns missing or too many, not UTF-8) is set aside, with its line and the reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.stream import BROKEN, LONGEST_LINE, kind, open_bytes
from tunesmith.errors import DataError
from tunesmith.types import SetAside, Source

csv.field_size_limit(LONGEST_LINE)  # the default of 128 kB is less than a long document

Found = dict[str, str] | str
"""A row, or why there is none."""


def split(path: Path) -> Iterator[Piece]:
    return grouped("csv", path, _found(path))


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for number, found in piece.content:
        source = Source(piece.path, number)
        yield aside(source, found) if isinstance(found, str) else Row(found, source)


def _found(path: Path) -> Iterator[tuple[int, Found, int]]:
    # Bytes that are not UTF-8 come in as lone surrogates, so that one bad row does not end the reading.
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        table = _numbered(_bounded(file), "\t" if kind(path) in (".tsv", ".tab") else ",")
        line, header = next(table, (1, []))
        if isinstance(header, str) or not header:
            raise DataError(f"{path}:{line}: the first row must name the columns; {header or 'the file is empty'}")
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError(f"{path}:{line}: the column {twice[0]!r} is named twice")
        for line, row in table:
            if row:
                found = row if isinstance(row, str) else _row(header, row)
                yield line, found, sum(map(len, row))


def _row(header: list[str], row: list[str]) -> Found:
    if bad := next((c for cell in row for c in cell if "\udc80" <= c <= "\udcff"), None):
        return f"is not UTF-8 (byte 0x{ord(bad) - 0xDC00:02x})"
    if len(row) != len(header):
        return f"has {len(row)} columns, wanted {len(header)}"
    return dict(zip(header, row, strict=True))


class _bounded:
    """The lines of a file, of which a too long one gives its beginning only, and a remark."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.too_long = 0

    def __iter__(self) -> _bounded:
        return self

    def __next__(self) -> str:
        line = self.file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if len(line) < LONGEST_LINE or line.endswith("\n"):
            return line
        self.too_long = len(line)
        while not line.endswith("\n") and (line := self.file.readline(LONGEST_LINE)):
            self.too_long += len(line)
        return "\n"


def _numbered(file: _bounded, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row with the line on which it begins, for cells may hold line ends; or what is wrong with it."""
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            lines = rows.line_num - line + 1
            more = f"; {lines} lines were read in search of the end" if lines > 1 else ""
            yield line, f"is not CSV: {error}{more}"
        except BROKEN as error:
            yield line, f"cannot be read on from here: {error}"
            return
        else:
            if file.too_long:
                yield line, f"is a line of {file.too_long:,} characters, more than {LONGEST_LINE:,}"
                file.too_long = 0
            else:
                yield line, row


FILES.add("csv")(Kind((".csv", ".tsv", ".tab"), split, parse))
