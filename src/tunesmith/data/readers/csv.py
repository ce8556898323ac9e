"""The reader ``csv``: a table whose first row names the columns; ``.tsv`` is read with tabs. Plain or compressed.

A row that cannot be used (columns missing or too many, not UTF-8) is set aside, with its line and the reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from tunesmith.data.reader import Record, reader
from tunesmith.data.readers.columns import KEYS, record
from tunesmith.data.readers.files import BROKEN, kind, open_bytes
from tunesmith.data.task import Task
from tunesmith.errors import DataError
from tunesmith.types import SetAside, Source

csv.field_size_limit(1 << 24)  # the default of 128 kB is less than a long document


@reader("csv", KEYS)
def read_csv(task: Task) -> Iterator[Record | SetAside]:
    path = task.settings["path"]
    # Bytes that are not UTF-8 come in as lone surrogates, so that one bad row does not end the reading.
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _numbered(file, "\t" if kind(path) in (".tsv", ".tab") else ",")
        line, header = next(rows, (1, []))
        if isinstance(header, str) or not header:
            raise DataError(f"{path}:{line}: the first row must name the columns; {header or 'the file is empty'}")
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise DataError(f"{path}:{line}: the column {twice[0]!r} is named twice")
        for line, row in rows:
            source = Source(str(path), line)
            if isinstance(row, str):
                yield SetAside(str(source), row, source)
            elif not row:
                continue
            elif bad := next((c for cell in row for c in cell if "\udc80" <= c <= "\udcff"), None):
                yield SetAside(str(source), f"is not UTF-8 (byte 0x{ord(bad) - 0xDC00:02x})", source)
            elif len(row) != len(header):
                yield SetAside(str(source), f"has {len(row)} columns, wanted {len(header)}", source)
            else:
                yield record(task, dict(zip(header, row, strict=True)), source)


def _numbered(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row with the line on which it begins, for cells may hold line ends; or what is wrong with it."""
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            yield line, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            lines = rows.line_num - line + 1
            more = f"; {lines} lines were read in search of the end" if lines > 1 else ""
            yield line, f"is not CSV: {error}{more}"
        except BROKEN as error:
            yield line, f"cannot be read on from here: {error}"
            return
