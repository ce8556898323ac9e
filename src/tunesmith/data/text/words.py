"""The words that the leak audit compares, normalised so that typing variants are equal.

    words("Don’t ＳＥＬＬ it")     ["don", "t", "sell", "it"]

Words are the longest runs of letters, digits and their marks; all else is space. Where a script has no spaces each
character is a word. Before that a text is made plain: compatible forms (full-width letters, ligatures, mathematical
letters) become the usual ones (NFKC), characters that are not seen go, and so do marks stacked on Latin, Greek and
Cyrillic letters beyond what one letter has; capitals become small. A letter that looks like a Latin one (Cyrillic а,
Greek ο) becomes that, in every text alike, so that Russian is still compared with Russian.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache

SHOWN = 200
"""Characters of an excerpt."""

_ASCII = re.compile(r"[a-z0-9]+")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Soft hyphens, zero-width characters, marks of direction, variation selectors, fillers, tags."""
_STACKED = re.compile("(?<=[\u0041-\u024f\u0370-\u052f])[\u0300-\u036f]+")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_ALIKE = {
    # Cyrillic: small letters that look Latin, and those whose capitals do
    **dict(zip("авекмнорстухѕіјһԁԛԝѵүӏԍҽпгɡ", "abekmhopctyxsijhdqwvyigenrg", strict=True)),
    # Greek
    **dict(zip("αβγεζηικνορτυχωϲϳ", "abyeznikvoptuxwcj", strict=True)),
    # Armenian
    **dict(zip("աոսօհցզեյք", "wnuohgqejp", strict=True)),
    # Latin letters of other uses: without a dot, of phonetics, small capitals
    **dict(zip("ıɑɩɪʏᴀʙᴄᴅᴇɢʜᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡᴢɛɔʋⅼ", "iaiiyabcdeghjklmnoprstuvwzeovl", strict=True)),
}
"""What a letter looks like, after capitals have become small."""


@cache
def _table() -> dict[int, str]:
    """For every letter that looks like a Latin one: that one."""
    found = {ord(letter): plain for letter, plain in _ALIKE.items()}
    for first in (0x1F150, 0x1F170):  # letters in dark circles and squares
        found |= {first + i: chr(ord("a") + i) for i in range(26)}
    return found


@cache
def alphabet() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The pattern of a word, and of a character that is a word by itself."""
    spaced: list[tuple[int, int]] = []
    marks: list[tuple[int, int]] = []
    alone = [(0x20000, 0x323AF)]
    for code in range(0x20000):
        char = chr(code)
        mark = unicodedata.category(char) in ("Mn", "Mc")
        if not (mark or char.isalnum()):
            continue
        unspaced = code > 0xE00 and unicodedata.name(char, "").startswith(_UNSPACED)
        runs = alone if unspaced else marks if mark else spaced
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    letter, single, sign = ("".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in runs) for runs in (spaced, alone, marks))
    return re.compile(f"[{single}]|[{letter}][{letter}{sign}]*"), re.compile(f"[{single}]")


def plain(text: str) -> str:
    """Compatible forms as usual ones, and nothing that is not seen."""
    return text if text.isascii() else _UNSEEN.sub("", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)))


def _folded(text: str) -> str:
    """Of a plain text small letters, each as the Latin one that it looks like."""
    low = text.lower()
    return low if low.isascii() else _STACKED.sub("", low).translate(_table())


# ASCII text as words with spaces between, byte by byte: five times the speed of a pattern on real rows.
_SPACED = bytes(ord(chr(b).lower()) if chr(b).isalnum() else 32 for b in range(128)) + bytes(range(128, 256))


def words(text: str) -> list[str]:
    """The words that the audit compares."""
    if text.isascii():
        return text.encode().translate(_SPACED).decode().split()
    low = _folded(plain(text))
    pieces = low.encode("utf-8", "surrogatepass").translate(_SPACED).decode("utf-8", "surrogatepass").split()
    found: list[str] = []
    for piece in pieces:
        if piece.isascii():
            found.append(piece)
        else:
            found += alphabet()[0].findall(piece)
    return found


@lru_cache(maxsize=64)  # a row that leaks into one item often leaks into many
def _spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text as it is shown, and where its words stand in it."""
    shown = plain(text)
    low = _folded(shown)
    # A few capitals, such as I with a dot, grow when they are made small, and then only the small text fits.
    shown = shown if len(shown) == len(low) else low
    return shown, [m.span() for m in (_ASCII if low.isascii() else alphabet()[0]).finditer(low)]


def excerpt(texts: Iterable[str], start: int, stop: int) -> str:
    """The words from ``start`` to ``stop`` as they stand in the texts; each text counts one word more, for its end."""
    out, at = [], 0
    for text in texts:
        shown, spans = _spans(text)
        a, b = max(start - at, 0), min(stop - at, len(spans))
        if a < b:
            out.append(shown[spans[a][0] : spans[b - 1][1]])
        at += len(spans) + 1
    return " ".join(out)[:SHOWN]
