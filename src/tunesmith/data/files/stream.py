"""Files as streams of UTF-8, whatever their encoding and compression, that cannot fill the memory.

for number, line in lines(path):        # bytes; or a text, which says why this line cannot be read
with open_bytes(path) as file:          # for files that do not go by lines
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from tunesmith.data.files.look import look
from tunesmith.data.files.packing import BROKEN, unpacked

LONGEST_LINE = 16 << 20
"""Bytes of a line. A longer one is set aside without being held in memory."""


def open_bytes(path: Path) -> BinaryIO:
    """The content of a file as UTF-8, decompressed and decoded as it is read. Lines end in LF or CR LF."""
    seen = look(path)
    file = unpacked(path, seen.packing)
    if seen.encoding == "utf-8" and not seen.lone_cr:
        return file
    return cast(BinaryIO, io.BufferedReader(_Recoded(file, seen.encoding, seen.lone_cr), 1 << 17))


class _Recoded(io.RawIOBase):
    """A stream in another encoding as UTF-8. What does not decode comes through as bytes that are not UTF-8, so that
    it costs its line and not the file."""

    def __init__(self, file: BinaryIO, encoding: str, lone_cr: bool) -> None:
        self._file = file
        self._errors = "surrogatepass" if encoding.startswith("utf-") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)
        self._lone_cr = lone_cr
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            raw = self._file.read(1 << 17)
            self._ended = not raw
            try:
                text = self._decoder.decode(raw, final=not raw)
            except UnicodeDecodeError:
                raise EOFError("the file ends inside a character, or holds bytes that are none") from None
            # An error handler of UTF-16 for half a surrogate pair writes what no reader of UTF-8 takes.
            self._ready = text.encode("utf-8", self._errors)
            if self._lone_cr:
                self._ready = self._ready.replace(b"\r", b"\n")
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
