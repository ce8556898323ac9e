"""Texts that others wrote, made safe to print and to keep: keys are masked, terminal escapes are taken out.

    printable(text)            no escape sequence, no control character; lines and tabs stay
    beginning(data)            as much of it as an error shows
    Mask(key)(text)            the key, and what can be turned back into it, is replaced by ***

A server may send back the key that it was given, in an error or as its answer, and an error may hold sequences that
repaint the terminal.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, moves, erasing
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that turn the direction of writing, and halves of characters."""
HIDDEN = "***"
_BEGINNING = 4000
_LONGEST_KEY = 512


def beginning(data: bytes) -> str:
    """The beginning of a text of others. Where it is cut, so much is left out that no part of a key stands at its end:
    a part could not be masked."""
    text = data[:_BEGINNING].decode("utf-8", "replace")
    return text if len(data) <= _BEGINNING else text[:-_LONGEST_KEY]


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


class Mask:
    """Replaces a key in texts."""

    def __init__(self, key: str) -> None:
        every = {key, quote(key, safe=""), base64.b64encode(key.encode()).decode()} if key else set()
        self._any = _pattern(every)
        """For errors and notes, where nothing is lost by hiding too much."""
        self._sure = _pattern(every if _is_secret(key) else {f"Bearer {key}"} if key else set())
        """For answers: a key such as EMPTY is a word that an answer may hold."""

    def __call__(self, text: str) -> str:
        """For errors and notes."""
        return self._any.sub(HIDDEN, text) if self._any else text

    def answer(self, text: str) -> str:
        """For what a model said."""
        if self._sure is None:
            return text
        bare = printable(text)  # which may put a key together that escapes had cut in pieces
        return self._sure.sub(HIDDEN, bare if self._sure.search(bare) else text)


def _pattern(words: set[str]) -> re.Pattern[str] | None:
    long_first = sorted((word for word in words if len(word) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, long_first))) if long_first else None


def _is_secret(key: str) -> bool:
    """Whether a key cannot be a word: EMPTY and none stand for no key with many servers."""
    return len(key) >= 16 or (len(key) >= 6 and not key.isalpha())
