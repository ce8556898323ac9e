"""The encoding of a text file, from a sample of its bytes.

    found = encoding_of(sample)
    found.name        what to decode with
    found.why         why that is certain; nothing for UTF-8
    found.guess       where nothing is certain and it is not UTF-8: what it looks like

Text without marks is UTF-8 here. Others are read where there is no doubt: a byte order mark; the zeros of UTF-16; and
GB18030 (GBK) where everything decodes and is, by its most frequent characters, Chinese. All other encodings are told
apart by guessing, and a wrong guess would be learned, so they are named in the error and not read.
"""

from __future__ import annotations

import codecs
import unicodedata
from typing import NamedTuple

BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FREQUENT = {
    # The most frequent characters of each script, about two fifths of what stands in any text
    "gb18030": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后"
    "作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实问题答什请解释回",
    "big5": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後"
    "作裡用道行所然家種事成",
    "shift_jis": "のにはをたがでてとしれさいるもなすこらあまかっりうくんだよえけきせつそわめちどおみ",
    "euc_jp": "のにはをたがでてとしれさいるもなすこらあまかっりうくんだよえけきせつそわめちどおみ",
    "euc_kr": "이다는의에을가고하지한기리사로도를은어인나자아해들대서그시있라게수스정일것보",
}
_SURE = 0.25
"""The share of characters outside ASCII that must be frequent ones. Text in a wrong encoding has 0.05 at most."""
_ENOUGH = 20
"""Fewer characters outside ASCII say nothing about the encoding."""


class Encoding(NamedTuple):
    """What was found."""

    name: str
    why: str = ""
    guess: str = ""


def encoding_of(sample: bytes) -> Encoding:
    """The encoding of a text that begins so."""
    for mark, name in BOMS:
        if sample.startswith(mark):
            return Encoding(name, "" if name == "utf-8" else f"{name.upper()}, by its byte order mark")
    # UTF-16 is full of zeros. One alone, or a few in text that is UTF-8 as it is, are damage and no encoding.
    least = 0.4 if _decoded(sample, "utf-8") is not None else 0.01
    if sample.count(0) > least * len(sample):
        names = [name for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be") if _is_text(sample, name)]
        if names:
            return Encoding(names[0], f"{names[0].upper()}, by its zero bytes")
    if _decoded(sample, "utf-8") is not None or _has_utf8(sample):
        return Encoding("utf-8")
    shares = {name: _share(sample, name) for name in _FREQUENT}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < _SURE:
        return Encoding("utf-8", guess="cp1252" if _decoded(sample, "cp1252") is not None else "")
    if best == "gb18030" and sum(share >= _SURE / 2 for share in shares.values()) == 1:
        return Encoding(best, "GB18030 (GBK), by its most frequent characters")
    return Encoding("utf-8", guess=best)


def _decoded(sample: bytes, name: str) -> str | None:
    """The text, if the sample decodes but for a character that is cut at its end."""
    try:
        return codecs.getincrementaldecoder(name)().decode(sample)
    except (UnicodeDecodeError, ValueError):
        return None


def _is_text(sample: bytes, name: str) -> bool:
    """Whether a sample decodes to characters that stand in texts."""
    text = _decoded(sample, name) or ""
    strange = {"Cc", "Cn", "Co", "Cs"}
    return text != "" and all(c in "\t\r\n" or unicodedata.category(c) not in strange for c in text)


def _has_utf8(sample: bytes) -> bool:
    """Whether some line is UTF-8 beyond ASCII. Then the file is, and lines that are not are damaged."""
    lines = sample.splitlines()[:-1] or [sample]
    return any(not line.isascii() and _decoded(line + b" ", "utf-8") is not None for line in lines)


def _share(sample: bytes, name: str) -> float:
    """How many of the characters outside ASCII are frequent ones of the script that the encoding is for. A damaged
    character or two do not make it another encoding."""
    text = codecs.getincrementaldecoder(name)("replace").decode(sample)
    others = [c for c in text if not c.isascii() and (c.isalpha() or c == "\ufffd")]
    if len(others) < _ENOUGH or others.count("\ufffd") > 0.02 * len(others):
        return 0.0
    frequent = frozenset(_FREQUENT[name])
    return sum(c in frequent for c in others) / len(others)
