"""JSON: an array of rows, one object, or values one after another; read as a stream, never as a whole.

A row that is broken is set aside, and reading goes on at the next one that stands where rows stand. Where no such
place can be told for certain, the rest of the file is set aside, and says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from tunesmith.data.files.file import FILES, Kind, Piece, Row, aside, grouped
from tunesmith.data.files.stream import BROKEN, LONGEST_LINE, open_bytes
from tunesmith.types import SetAside, Source

_READ = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
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
            gap = ""
            while True:
                before = self.at
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
                if number <= 2:
                    gap = self.window[before : self.at].replace(",", "")
                start = self.at
                value = self._value()
                yield number, value, self.at - start
                if isinstance(value, Broken) and not self._next(gap):
                    break
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
                if size < 2 * LONGEST_LINE and self._cut(error) and self._more(size):
                    continue
                if size >= 2 * LONGEST_LINE:
                    return Broken(f"is a row of more than {2 * LONGEST_LINE:,} characters")
                return Broken(f"is not JSON: {error}" if not self.failed else f"is cut: {self.failed}")
            if end == len(self.window) and not isinstance(value, dict | list) and self._more(_READ):
                continue  # a number at the window's end may go on
            found = self.window[self.at : end]
            self.at = end
            if bad := re.search("[\udc80-\udcff]", found):
                return Broken(f"is not UTF-8 (byte 0x{ord(bad.group()) - 0xDC00:02x})")
            return value

    def _cut(self, error: ValueError) -> bool:
        """Whether an error may come from the end of the window: it is near it, or in a text that does not end."""
        place = getattr(error, "pos", 0)
        return place >= len(self.window) - 16 or "Unterminated string" in str(error)

    def _next(self, gap: str) -> bool:
        """Move to the next place where a row begins: after a line end and the indent of the first rows. In a file
        that is one line long, after the bracket that closes this row."""
        if "\n" in gap:
            begin = gap[gap.rindex("\n") :] + self.window[self.at]
            found = self.window.find(begin, self.at + 1)
            while found < 0 and self._more(len(self.window) - self.at + _READ):
                found = self.window.find(begin, self.at + 1)
            if found >= 0:
                self.at = found + len(begin) - 1
            else:
                self.at = len(self.window)
            return found >= 0 or bool(self.failed)
        end = _closing(self.window, self.at)
        while (
            end < 0 and len(self.window) - self.at < 2 * LONGEST_LINE and self._more(len(self.window) - self.at + _READ)
        ):
            end = _closing(self.window, self.at)
        if end < 0:
            self.at = len(self.window)
            return False
        self.at = end
        return True

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
        self.window, self.at = self.window[self.at :] + text, 0
        return True


_MARKS = re.compile(r'["{}\[\]]')
_STRING_END = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def _closing(text: str, at: int) -> int:
    """Behind the bracket that closes the one at ``at``, or -1."""
    depth = 0
    while mark := _MARKS.search(text, at):
        at = mark.end()
        if mark.group() == '"':
            string = _STRING_END.match(text, at)
            if not string:
                return -1
            at = string.end()
        else:
            depth += 1 if mark.group() in "{[" else -1
            if depth <= 0:
                return at
    return -1


FILES.add("json")(Kind((".json",), split, parse))
