"""JSON: an array of rows, one object, or values one after another; read as a stream, never as a whole.

A broken row is rejected, and reading continues at the next certain start of a row. If there is none, the rest of the
file is rejected, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from tunesmith.core.types import SetAside, Source
from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.packing import BROKEN
from tunesmith.data.files.stream import LONGEST_LINE, open_bytes

_READ = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_DECODER = json.JSONDecoder()


class Broken(str):
    """Why a row could not be read."""


def split(path: Path) -> Iterator[Piece]:
    return grouped("json", path, _Scan(path).items())


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    for number, value in piece.content:
        source = Source(piece.path, item=number)
        yield aside(source, str(value)) if isinstance(value, Broken) else Row(value, source)


class _Scan:
    """A window over the text that moves forward, value by value."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.window = ""
        self.at = 0
        self.passed = 0
        """Characters of the file that lie before the window."""
        self.ended = False
        self.failed = ""

    def items(self) -> Iterator[tuple[int, Any, int]]:
        # Bytes that are not UTF-8 come in as lone surrogates, so that one bad row does not end the reading.
        with TextIOWrapper(open_bytes(self.path), encoding="utf-8-sig", errors="surrogateescape") as file:
            self.file = file
            self._skip(_SPACE)
            array = self.window.startswith("[", self.at)
            self.at += array
            number = 0
            gap = head = ""
            while True:
                before = self.passed + self.at
                self._skip(_BETWEEN if number else _SPACE)
                if array and self.window.startswith("]", self.at):
                    self.at += 1
                    self._skip(_SPACE)
                    if self.at < len(self.window):
                        yield number + 1, Broken("stands after the end of the array"), 0
                    break
                if self.at >= len(self.window):
                    if array and not self.failed:
                        yield number + 1, Broken("the file ends before the array does"), 0
                    break
                number += 1
                start = self.passed + self.at
                if number == 1:
                    head = _head(self.window[self.at : self.at + 1000])
                elif number == 2:
                    gap = self.window[self.at - (start - before) : self.at] if start - before <= self.at else ""
                value = self._value()
                end = self.passed + self.at
                if isinstance(value, Broken) and end == start:
                    found = self._next(head, gap)
                    size = self.passed + self.at - start
                    yield number, Broken(f"{value}; {size:,} characters were passed over to the next row"), 0
                    if not found:
                        break
                else:
                    yield number, value, end - start
            if self.failed:
                yield number + 1, Broken(f"cannot be read on from here: {self.failed}"), 0

    def _value(self) -> Any:
        """The value that begins here; the window grows until it holds all of it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.window, self.at)
            except RecursionError as error:
                return Broken(f"is not JSON: {error}")
            except ValueError as error:
                # The text may only be cut at the window's end; it is broken if more of it changes nothing.
                size = len(self.window) - self.at
                if size >= 2 * LONGEST_LINE:
                    return Broken(f"is a row of more than {2 * LONGEST_LINE:,} characters")
                if self._cut(error) and self._more(size):
                    continue
                return Broken(f"is cut: {self.failed}" if self.failed else f"is not JSON: {error}")
            if end == len(self.window) and not isinstance(value, dict | list) and self._more(_READ):
                continue  # a number at the window's end may go on
            found = self.window[self.at : end]
            self.at = end
            if bad := _NOT_UTF8.search(found):
                return Broken(f"is not UTF-8: byte 0x{ord(bad.group()) - 0xDC00:02x}")
            return value

    def _cut(self, error: ValueError) -> bool:
        """Whether an error may come from the end of the window: it is near it, or in a text that does not end."""
        place = getattr(error, "pos", 0)
        return place >= len(self.window) - 16 or "Unterminated string" in str(error)

    def _next(self, head: str, gap: str) -> bool:
        """Move to the next place where a row begins as the first one did (``{"name":``), behind what stands between
        the first two; to the end where there is none. What is passed over is not kept."""
        between = re.escape(gap) if gap else r"\s*,\s*"
        begin = re.compile(between + re.escape(head))
        self.at += 1
        while True:
            if found := begin.search(self.window, self.at):
                self.at = found.end() - len(head)
                return True
            self.at = max(self.at, len(self.window) - len(head) - 1000)
            if not self._more(_READ):
                self.at = len(self.window)
                return bool(self.failed)

    def _skip(self, what: re.Pattern[str]) -> None:
        while True:
            found = what.match(self.window, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.window) or not self._more(_READ):
                return

    def _more(self, size: int) -> bool:
        """Read on, dropping what lies behind; False at the end."""
        if self.ended:
            return False
        try:
            text = self.file.read(max(_READ, size))
        except BROKEN as error:
            self.ended, self.failed = True, str(error) or type(error).__name__
            return False
        if not text:
            self.ended = True
            return False
        self.passed += self.at
        self.window, self.at = self.window[self.at :] + text, 0
        return True


def _head(text: str) -> str:
    """How a row begins: its bracket and, of an object, its first key."""
    found = re.match(r'\{\s*"(?:[^"\\]|\\.)*"\s*:', text)
    return found.group() if found else text[:1]


FILES.add("json")(Kind((".json",), split, parse))
