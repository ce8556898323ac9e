"""Compressed files. The first bytes decide how a file is compressed; its name may be wrong.

kind(path)          ".csv" of rows.csv.gz: what the name says that is in it
packing_of(path)    ".gz": how it is compressed, or "" where it is not
unpacked(path)      the content as a stream of bytes
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What reading a damaged or cut compressed file raises."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_MAGIC = {
    ".gz": re.compile(rb"\x1f\x8b\x08"),
    ".bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    ".xz": re.compile(rb"\xfd7zXZ\x00"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd"),
}
"""How compressed files begin."""


def kind(path: Path) -> str:
    """The suffix that says what is in a file: ``.csv`` of ``rows.csv.gz``."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name.suffix.lower()


def packing_of(path: Path) -> str:
    """How a file is compressed: one of ``COMPRESSED``, or nothing."""
    with path.open("rb") as file:
        begin = file.read(64)
    if found := next((end for end, magic in _MAGIC.items() if magic.match(begin)), ""):
        return found
    named = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
    # Plain text under the name of a compressed file. What is neither is read as the name says, and fails so.
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return named
    return ""


def unpacked(path: Path, packing: str) -> BinaryIO:
    """The content of a file, decompressed as it is read."""
    if packing == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if packing == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if packing == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if packing == ".zst":
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
