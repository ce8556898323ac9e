"""Files as streams of bytes, plain or compressed, that cannot fill the memory and do not end in a traceback.

    for number, line in lines(path):        # bytes; or a text, which says why this line cannot be read
    with open_bytes(path) as file:          # for files that do not go by lines

What a file is follows from its name without the compression: ``rows.jsonl.gz`` is JSON lines (``kind``).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

LONGEST_LINE = 16 << 20
"""Bytes of a line. A longer one is set aside without being held in memory."""


BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What reading a damaged or cut compressed file raises."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def kind(path: Path) -> str:
    """The suffix that says what is in a file: ``.csv`` of ``rows.csv.gz``."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name.suffix.lower()


def open_bytes(path: Path) -> BinaryIO:
    """The content of a file, decompressed as it is read."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Zstandard(path), 1 << 17))
    return path.open("rb")


class _Zstandard(io.RawIOBase):
    """The package's own reader takes the end of a cut file for the end of the content. This one says so."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._ready = b""
        self._begin()

    def _begin(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._begin()
            packed = packed or self._file.read(1 << 17)
            if not packed:
                if self._inside:
                    raise EOFError("the compressed file ends before its content does")
                return 0
            self._inside = True
            self._ready = self._frame.decompress(packed)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def lines(path: Path) -> Iterator[tuple[int, bytes | str]]:
    """Each line with its number. Where one is a text, that says why it is not there."""
    number = 0
    with open_bytes(path) as file:
        while True:
            try:
                line = file.readline(LONGEST_LINE)
                if not line:
                    return
                number += 1
                if len(line) < LONGEST_LINE or line.endswith(b"\n"):
                    yield number, line
                    continue
                length = len(line)
                while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                    length += len(line)
                yield number, f"is a line of {length:,} bytes, more than {LONGEST_LINE:,}"
            except BROKEN as error:
                yield number + 1, f"cannot be read on from here: {error or type(error).__name__}"
                return
