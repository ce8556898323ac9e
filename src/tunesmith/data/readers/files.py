"""Files as streams of bytes, plain or compressed, that cannot fill the memory and do not end in a traceback.

    for number, line in lines(path):        # bytes; or a text, which says why this line cannot be read
    with open_bytes(path) as file:          # for readers that do not go by lines

What a file is follows from its name without the compression: ``rows.jsonl.gz`` is JSON lines (``kind``).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from tunesmith.errors import DataError

LONGEST_LINE = 16 << 20
"""Bytes of a line. A longer one is set aside without being held in memory."""

BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a damaged or cut compressed file raises."""

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def kind(path: Path) -> str:
    """The suffix that says what is in a file: ``.csv`` of ``rows.csv.gz``."""
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
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
        try:
            import zstandard
        except ImportError:
            raise DataError(
                f"{path} is compressed with Zstandard. Install its package: pip install zstandard"
            ) from None
        return cast(BinaryIO, zstandard.open(path, "rb"))
    return path.open("rb")


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
                yield number + 1, f"cannot be read on from here: {error}"
                return
