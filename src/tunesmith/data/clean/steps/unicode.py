"""``unicode``: one spelling for one text, and no invisible characters.

NFC, so that an accent is not sometimes one character and sometimes two (not NFKC, which would change formulas and
Chinese punctuation); line ends are ``\\n``; odd spaces are spaces; control characters, byte order marks, zero-width
spaces and halves of surrogate pairs go; so do spaces at the ends of lines, and empty lines around the text. What joins
letters (ZWJ, ZWNJ), directs them, or indents code stays.
"""

from __future__ import annotations

import re
import unicodedata

from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, each_text

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xa0\xad\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\ufeff\ud800-\udfff]")
_ASCII_ODD = bytes(n for n in range(128) if _ODD.match(chr(n)))
_EMPTY_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_SPACES = {"\xa0", "\u202f", "\u205f", *map(chr, range(0x2000, 0x200B))}
_LINES = {"\u2028", "\u2029", "\x0b", "\x0c", "\x85"}


class Unicode(Step):
    """Normalise invisible differences: line ends, odd spaces, invisible characters, composed accents."""

    on: bool = True

    def clean(self, row: Conversation) -> Conversation | str:
        return each_text(row, mended)


def mended(text: str) -> str:
    """The text, spelled as it should be."""
    if text.isascii():
        # Several times as fast as a pattern, for text that has none of them: nearly all.
        if len(text.encode().translate(None, _ASCII_ODD)) < len(text):
            text = _ODD.sub(_instead, text.replace("\r\n", "\n").replace("\r", "\n"))
    else:
        if _ODD.search(text):
            text = _ODD.sub(_instead, text.replace("\r\n", "\n").replace("\r", "\n"))
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    if " \n" in text or "\t\n" in text:
        text = "\n".join(map(str.rstrip, text.split("\n")))
    if text[:1].isspace():
        text = _EMPTY_LINES.sub("", text)
    return text.rstrip()


def _instead(found: re.Match[str]) -> str:
    character = found.group()
    return " " if character in _SPACES else "\n" if character in _LINES else ""
