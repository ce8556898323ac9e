"""Parquet and Arrow files, as pyarrow reads them: a piece is a part of a row group or record batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.core.types import SetAside, Source
from tunesmith.data.files.file import FILES, PIECE_ROWS, Kind, Piece, Row, aside

if TYPE_CHECKING:
    import pyarrow


def split(path: Path) -> Iterator[Piece]:
    import pyarrow
    import pyarrow.parquet

    try:
        groups = pyarrow.parquet.ParquetFile(path).metadata
    except (pyarrow.ArrowException, OSError) as error:
        yield Piece("parquet", str(path), 1, str(error).splitlines()[0])
        return
    first = 1
    for i in range(groups.num_row_groups):
        size = groups.row_group(i).num_rows
        for begin in range(0, size, PIECE_ROWS):
            yield Piece("parquet", str(path), first + begin, (i, begin, min(PIECE_ROWS, size - begin)))
        first += size


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    import pyarrow
    import pyarrow.parquet

    if isinstance(piece.content, str):
        yield aside(Source(piece.path), f"is not Parquet: {piece.content}")
        return
    group, begin, size = piece.content
    try:
        table = pyarrow.parquet.ParquetFile(piece.path).read_row_group(group).slice(begin, size)
    except (pyarrow.ArrowException, OSError) as error:
        yield aside(
            Source(piece.path, item=piece.first),
            f"row group {group + 1} cannot be read, {size} rows: {str(error).splitlines()[0]}",
        )
        return
    yield from of_table(table, piece)


def of_table(table: pyarrow.Table, piece: Piece) -> Iterator[Row]:
    """The rows of a table that begins at the piece's first row."""
    for i, value in enumerate(table.to_pylist()):
        yield Row(value, Source(piece.path, item=piece.first + i))


FILES.add("parquet")(Kind((".parquet",), split, parse))
