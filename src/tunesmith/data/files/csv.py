"""Tables as text: the first row names the columns. ``.tsv`` and ``.tab`` are read with tabs, others with commas; or
with what certainly separates their columns.

A row that cannot be used (columns missing or too many, not UTF-8) is set aside, with its line and the reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tunesmith.core.errors import DataError, counted
from tunesmith.core.types import SetAside, Source
from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.look import look
from tunesmith.data.files.packing import BROKEN, kind
from tunesmith.data.files.stream import LONGEST_LINE, open_bytes

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
        delimiter = look(path).delimiter or ("\t" if kind(path) in (".tsv", ".tab") else ",")
        table = _Table(file, delimiter)
        line, header = next(iter(table), (1, []))
        if isinstance(header, str) or not header:
            raise DataError(f"{path}:{line}: the first row must name the columns; {header or 'the file is empty'}")
        if reason := _not_utf8(header):
            told = "".join(f" {note}." for note in look(path).notes)
            raise DataError(f"{path}:{line}: the first row, which names the columns, {reason}.{told}")
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError(f"{path}:{line}: the column {twice[0]!r} is named twice")
        table.columns = len(header)
        for line, row in table:
            if row:
                found = row if isinstance(row, str) else _row(header, row)
                yield line, found, sum(map(len, row))


def _row(header: list[str], row: list[str]) -> Found:
    if reason := _not_utf8(row):
        return reason
    if len(row) != len(header):
        return f"has {counted(len(row), 'column')}, wanted {len(header)}"
    return dict(zip(header, row, strict=True))


def _not_utf8(row: list[str]) -> str:
    bad = next((c for cell in row for c in cell if "\udc80" <= c <= "\udcff"), None)
    return f"is not UTF-8: byte 0x{ord(bad) - 0xDC00:02x}" if bad else ""


class _Table:
    """Each row with the line on which it begins, for cells may hold line ends; or what is wrong with it.

    A quote that is opened and never closed takes all lines along up to the next quote. Where that gives no row, and
    most of those lines are rows by themselves, only the line with the quote is lost.
    """

    def __init__(self, file: TextIO, delimiter: str) -> None:
        self.file = file
        self.delimiter = delimiter
        self.columns = 0
        """How many columns a row has, once it is known."""
        self.line = 0
        """Lines that are taken."""
        self.taken: list[str] = []
        """Lines of the row that is being read."""
        self.back: deque[str] = deque()
        """Lines that are to be read again."""
        self.too_long = 0

    def __iter__(self) -> Iterator[tuple[int, list[str] | str]]:
        while True:
            self.taken = []
            line = self.line + 1
            try:
                row = next(csv.reader(self._lines(), delimiter=self.delimiter, strict=True))
            except StopIteration:
                return
            except csv.Error as error:
                yield line, self._recovered(f"is not CSV: {error}")
            except BROKEN as error:
                yield line, f"cannot be read on from here: {error}"
                return
            else:
                if self.too_long:
                    yield line, f"is a line of {self.too_long:,} characters, more than {LONGEST_LINE:,}"
                    self.too_long = 0
                elif self.columns and len(row) != self.columns and len(self.taken) > 1:
                    yield line, self._recovered(f"has {counted(len(row), 'column')}, wanted {self.columns}")
                else:
                    yield line, row

    def _recovered(self, reason: str) -> str:
        """Put back the lines that a quote has swallowed, and say what is wrong with the one that holds the quote."""
        swallowed = self.taken[1:]
        if swallowed and sum(map(self._is_row, swallowed)) >= len(swallowed) / 2:
            self.back.extendleft(reversed(swallowed))
            self.line -= len(swallowed)
            return "is not CSV: a quote is opened and not closed"
        return reason + (f"; {len(self.taken)} lines were read in search of the end" if swallowed else "")

    def _is_row(self, line: str) -> bool:
        """Whether a line is a whole row, and not prose: there a space follows a comma."""
        try:
            rows = list(csv.reader([line], delimiter=self.delimiter, strict=True))
        except csv.Error:
            return False
        return len(rows) == 1 and len(rows[0]) == self.columns and not any(cell[:1] == " " for cell in rows[0][1:])

    def _lines(self) -> Iterator[str]:
        """The lines of the file, from where the last row ended."""
        size = 0
        while line := self.back.popleft() if self.back else self._next():
            self.line += 1
            self.taken.append(line)
            size += len(line)
            if size > 2 * LONGEST_LINE:
                raise csv.Error(f"a cell of more than {LONGEST_LINE:,} characters")
            yield line

    def _next(self) -> str:
        """The next line, of which a too long one gives a remark and no text."""
        line = self.file.readline(LONGEST_LINE)
        if len(line) < LONGEST_LINE or line.endswith("\n"):
            return line
        self.too_long = len(line)
        while not line.endswith("\n") and (line := self.file.readline(LONGEST_LINE)):
            self.too_long += len(line)
        return "\n"


FILES.add("csv")(Kind((".csv", ".tsv", ".tab"), split, parse))
