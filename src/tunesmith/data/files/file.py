"""Any file as rows: what all kinds of files share, and how a kind is registered.

    for row in rows("chats.jsonl.gz"):       # a Row, or a SetAside with file, line and reason
        row.value, row.source

    for piece in pieces("chats.jsonl.gz"):   # the same for many workers: a piece can be sent to one of them,
        for row in piece.rows(): ...         # which reads its rows

A piece is some megabytes, and is the same at every reading of an unchanged file. No file is held in memory. A new
kind of file is a function from a path to pieces, and one from a piece to rows:

    FILES.add("jsonl")(Kind((".jsonl",), split, parse))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.core.errors import DataError, nearest
from tunesmith.core.registry import Registry
from tunesmith.core.types import SetAside, Source
from tunesmith.data.files.look import look
from tunesmith.data.files.packing import kind

PIECE_BYTES = 4 << 20
PIECE_ROWS = 4096


class Row(NamedTuple):
    """One row as the file holds it: a mapping of columns, or a text where the file has no columns."""

    value: Any
    source: Source


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a file."""

    kind: str
    path: str
    first: int
    """The number of the first line or row, counted from 1."""
    content: Any
    """What ``parse`` of the kind needs besides, small enough to send."""

    def rows(self) -> Iterator[Row | SetAside]:
        """The rows of this stretch."""
        return FILES[self.kind].parse(self)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file."""

    suffixes: tuple[str, ...]
    split: Callable[[Path], Iterator[Piece]]
    parse: Callable[[Piece], Iterator[Row | SetAside]]


FILES: Registry[Kind] = Registry("Kind of file")


def kind_of(path: Path) -> str:
    """The name of the kind, from the file's name unless its content is certainly another; a folder is a saved data
    set, and ``hub:owner/name`` one of the hub."""
    if str(path).startswith("hub:"):
        return "hub"
    if path.is_dir():
        return "saved"
    suffix = kind(path)
    for name in FILES:
        if suffix in FILES[name].suffixes:
            return (look(path).kind if path.exists() else "") or name
    known = sorted(s for name in FILES for s in FILES[name].suffixes)
    close = nearest(suffix, known)
    raise DataError(
        f"{path}: files that end in {suffix or 'nothing'!r} are not known"
        + (f"; did you mean {close!r}?" if close else ".")
        + f" Known: {', '.join(known)}, each also with .gz, .bz2, .xz or .zst."
    )


def pieces(path: Path | str, kind: str | None = None) -> Iterator[Piece]:
    """A file in pieces; ``kind`` where its name does not say what it is."""
    path = Path(path)
    return FILES[kind or kind_of(path)].split(path)


def rows(path: Path | str, kind: str | None = None) -> Iterator[Row | SetAside]:
    """All rows of a file, as a stream."""
    for piece in pieces(path, kind):
        yield from piece.rows()


def grouped(kind: str, path: Path, items: Iterable[tuple[int, Any, int]]) -> Iterator[Piece]:
    """Pieces of items, each given with its number and its size in bytes."""
    content: list[tuple[int, Any]] = []
    first = size = 0
    for number, item, length in items:
        if not content:
            first = number
        content.append((number, item))
        size += length
        if size >= PIECE_BYTES or len(content) >= PIECE_ROWS:
            yield Piece(kind, str(path), first, content)
            content, size = [], 0
    if content:
        yield Piece(kind, str(path), first, content)


def text_lines(piece: Piece) -> Iterator[tuple[Source, str] | SetAside]:
    """The lines of a piece of a text file, decoded; or why a line has no text."""
    for number, raw in piece.content:
        source = Source(piece.path, number)
        if isinstance(raw, str):
            yield aside(source, raw)
            continue
        try:
            yield source, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            yield aside(source, f"is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}")


def files_in(path: Path) -> list[Path]:
    """A file, or all files of a folder, by name."""
    return [p for p in (sorted(path.rglob("*")) if path.is_dir() else [path]) if p.is_file()]


def aside(source: Source, reason: str) -> SetAside:
    """A row that cannot be read, named by its place."""
    return SetAside(str(source), reason, source)
