"""Porter's stemmer (Porter 1980), with the changes that nltk makes and every published ROUGE therefore has.

stem("relational")      'relat'
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_IRREGULAR = {
    "skies": "sky",
    "sky": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "news": "news",
    "innings": "inning",
    "inning": "inning",
    "outings": "outing",
    "outing": "outing",
    "cannings": "canning",
    "canning": "canning",
    "howe": "howe",
    "proceed": "proceed",
    "exceed": "exceed",
    "succeed": "succeed",
}
Ends = tuple[tuple[str, str, Callable[[str], bool]], ...]


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """The stem of a word, in small letters."""
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and len(word) > 2 and not _vowel(word, len(word) - 2):
        word = word[:-1] + "i"
    return _silent(_first(_LAST, _first(_THIRD, _second(word))))


def _vowel(word: str, i: int) -> bool:
    """Whether a letter is one; y is after a consonant."""
    return word[i] in "aeiou" or (word[i] == "y" and i > 0 and not _vowel(word, i - 1))


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    form = "".join("v" if _vowel(word, i) else "c" for i in range(len(word)))
    return len(re.findall("vc", form))


def _some(word: str) -> bool:
    return _measure(word) > 0


def _more(word: str) -> bool:
    return _measure(word) > 1


def _has_vowel(word: str) -> bool:
    return any(_vowel(word, i) for i in range(len(word)))


def _closed(word: str) -> bool:
    """Consonant, vowel, consonant (not w, x, y) at the end; or a word of a vowel and a consonant."""
    n = len(word)
    if n >= 3:
        three = [_vowel(word, i) for i in (n - 3, n - 2, n - 1)]
        return three == [False, True, False] and word[-1] not in "wxy"
    return n == 2 and _vowel(word, 0) and not _vowel(word, 1)


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    for end, other in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(end):
            return word[: -len(end)] + other
    return word


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _some(word[:-3]) else word
    for end in ("ed", "ing"):
        body = word[: -len(end)]
        if word.endswith(end) and _has_vowel(body):
            if body.endswith(("at", "bl", "iz")):
                return body + "e"
            if len(body) > 1 and body[-1] == body[-2] and not _vowel(body, len(body) - 1):
                return body if body[-1] in "lsz" else body[:-1]
            return body + "e" if _measure(body) == 1 and _closed(body) else body
    return word


def _second(word: str) -> str:
    if word.endswith("alli") and _some(word[:-4]):
        return _second(word[:-2])
    return _first(_SECOND, word, whole=True)


def _first(ends: Ends, word: str, *, whole: bool = False) -> str:
    """Change the first end that a word has, where what stands before it is long enough."""
    for end, other, long in ends:
        if word.endswith(end):
            body = word[: -len(end)]
            # "logi" loses its last letter where there is a measure in what ends with its l
            enough = long(word[:-3]) if whole and end == "logi" else long(body)
            return body + other if enough else word
    return word


def _before_ion(body: str) -> bool:
    return _more(body) and body[-1:] in ("s", "t")


_SECOND: Ends = tuple(
    (end, other, _some)
    for end, other in (
        ("ational", "ate"),
        ("tional", "tion"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("izer", "ize"),
        ("bli", "ble"),
        ("alli", "al"),
        ("entli", "ent"),
        ("eli", "e"),
        ("ousli", "ous"),
        ("ization", "ize"),
        ("ation", "ate"),
        ("ator", "ate"),
        ("alism", "al"),
        ("iveness", "ive"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("aliti", "al"),
        ("iviti", "ive"),
        ("biliti", "ble"),
        ("fulli", "ful"),
        ("logi", "log"),
    )
)
_THIRD: Ends = tuple(
    (end, other, _some)
    for end, other in (
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    )
)
_LAST: Ends = (
    *((end, "", _more) for end in ("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent")),
    ("ion", "", _before_ion),
    *((end, "", _more) for end in ("ou", "ism", "ate", "iti", "ous", "ive", "ize")),
)


def _silent(word: str) -> str:
    if word.endswith("e"):
        body = word[:-1]
        if _more(body) or (_measure(body) == 1 and not _closed(body)):
            word = body
    return word[:-1] if word.endswith("ll") and _more(word[:-1]) else word
