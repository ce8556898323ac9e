"""Where sentences end, as Punkt decides it (Kiss and Strunk 2006), and words as the Penn Treebank divides them.

IFEval counts sentences and words in capitals with nltk's Punkt and Treebank tokenizers. These are the same decisions
with the same parameters (``punkt_english.txt``), without nltk and its downloads.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise

_CLOSING = "\u2018\u2019\u201c\u201d\xab\xbb"
_INSIDE_NO_WORD = rf"""[)";}}\]*:@'({{\[{_CLOSING}!?]"""
_MARKS = r"-{2,}|\.{2,}|(?:\.\s){2,}\."
_CANDIDATE = re.compile(rf"[.!?](?=(?P<after>{_INSIDE_NO_WORD}|\s+(?P<next>\S+)))")
"""A mark that may end a sentence, and what comes after it."""
_WORD = re.compile(
    rf"""{_MARKS}|(?=[^("`{{\[:;&\#*@)}}\]\-,])\S+?"""
    rf"""(?=\s|$|{_INSIDE_NO_WORD}|{_MARKS}|,(?=$|\s|{_INSIDE_NO_WORD}|{_MARKS}))|\S"""
)
_STAYS_BEHIND = re.compile(rf"""["')\]}}{_CLOSING}]+?(?:\s+|(?=--)|$)""", re.MULTILINE)
"""Closing marks that belong to the sentence before."""
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*\.?")
_INITIAL = re.compile(r"[^\W\d]\.")
_DOTS = re.compile(r"\.\.+")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What Punkt has learned of English. Words are in small letters."""

    abbreviations: frozenset[str]
    starters: frozenset[str]
    """Words that often begin a sentence."""
    collocations: frozenset[str]
    """``first|second``: pairs with a full stop between them that ends nothing."""
    small: frozenset[str]
    """Words seen with a small letter."""
    only_capital_at_begin: frozenset[str]
    """Of these, words that were never capital within a sentence."""
    small_at_begin: frozenset[str]
    """Words that have begun a sentence with a small letter and were never capital."""


@functools.cache
def parameters() -> Parameters:
    """The parameters that come with this package."""
    text = resources.files(__package__).joinpath("punkt_english.txt").read_text(encoding="utf-8")
    lists = {}
    for part in text.split("\n[")[1:]:
        name, _, words = part.partition("]\n")
        lists[name] = frozenset(words.split())
    never, also = lists["small, never capital within a sentence"], lists["small, also capital within a sentence"]
    return Parameters(
        abbreviations=lists["abbreviations"] | {". . "},
        starters=lists["starters"],
        collocations=lists["collocations"],
        small=never | also,
        only_capital_at_begin=never,
        small_at_begin=lists["begins a sentence small, never capital"],
    )


class _Token:
    """A word of a text with what is decided about it."""

    __slots__ = ("abbreviates", "ends", "kind", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        small = text.lower()
        self.kind = "##number##" if _NUMBER.fullmatch(small) else small
        self.ends = self.abbreviates = False
        if text in {".", "!", "?"}:
            self.ends = True
        elif _DOTS.fullmatch(text):
            self.abbreviates = True  # an ellipsis is treated as one
        elif text.endswith(".") and not text.endswith(".."):
            known = parameters().abbreviations
            self.abbreviates = small[:-1] in known or small[:-1].split("-")[-1] in known
            self.ends = not self.abbreviates

    def bare(self) -> str:
        """Its kind without a full stop at its end."""
        return self.kind[:-1] if len(self.kind) > 1 and self.kind.endswith(".") else self.kind

    def as_next(self) -> str:
        """Its kind, seen from the word before: without a full stop that ends a sentence."""
        return self.bare() if self.ends else self.kind


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    found: list[str] = []
    moved = 0
    for span, follows in pairwise([*_spans(text), None]):
        assert span is not None
        begin, end = span[0] + moved, span[1]
        behind = _STAYS_BEHIND.match(text[slice(*follows)]) if follows else None
        if behind and follows:
            found.append(text[begin : follows[0] + len(behind[0].rstrip())])
            moved = behind.end()
            continue
        moved = 0
        if text[begin:end]:
            found.append(text[begin:end])
    return found


def words(text: str) -> list[str]:
    """The words of a text that have letters: clitics apart ("IT", "'S"), marks away."""
    found: list[str] = []
    for sentence in sentences(text):
        line = _FINAL_STOP.sub(" ", _OPENING.sub("' ", sentence))
        line = " " + _APART.sub(" ", line) + " "
        for apart in (_QUOTE, _CLITIC, _LONG_CLITIC):
            line = apart.sub(r" \1", line)
        for contraction in _CONTRACTIONS:
            line = contraction.sub(r" \1 \2 ", line)
        found += line.split()
    return found


_OPENING = re.compile(r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", re.IGNORECASE)
_FINAL_STOP = re.compile(r"""(?<=[^.])\.[\])}>"'»”’ ]*\s*$""")
_APART = re.compile(r"""[«“‘„»”’`"*;@#$%&?!()\[\]{}<>\u2012-\u2015]|''|\.{2,}|--|[:,](?!\d)|\s+""")
_QUOTE = re.compile(r"(?<=[^'])(')(?= )")
_CLITIC = re.compile(r"(?<=[^' ])('[sSmMdD]|')(?= )")
_LONG_CLITIC = re.compile(r"(?<=[^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T)(?= )")
_CONTRACTIONS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(can)(not)\b", r"\b(d)('ye)\b", r"\b(gim)(me)\b", r"\b(gon)(na)\b", r"\b(got)(ta)\b", r"\b(lem)(me)\b",
        r"\b(more)('n)\b", r"\b(wan)(na)(?=\s)", r" ('t)(is)\b", r" ('t)(was)\b",
    )
]  # fmt: skip


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences begin and end, before closing marks are given to the sentence that they close."""
    begin = 0
    for match, context in _candidates(text):
        if _has_end(context):
            yield begin, match.end()
            begin = match.start("next") if match["next"] else match.end()
    yield begin, len(text.rstrip())


def _candidates(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each mark that may end a sentence, with the word that it ends and what comes next. Of marks in one word the last
    counts."""
    before: re.Match[str] | None = None
    word = (0, 0)
    for match in _CANDIDATE.finditer(text):
        space = max(text.rfind(blank, word[1], match.start()) for blank in string.whitespace)
        begin = space + 1 if space > word[1] else word[0]
        if before and word[1] <= begin:
            yield before, text[slice(*word)] + before[0] + before["after"]
        before, word = match, (begin, match.start())
    if before:
        yield before, text[slice(*word)] + before[0] + before["after"]


def _has_end(context: str) -> bool:
    """Whether a sentence ends within some words."""
    tokens = [_Token(word) for line in context.split("\n") for word in _WORD.findall(line)]
    for token, follower in pairwise(tokens):
        _decide(token, follower)
        if token.ends:
            return True
    return False


def _decide(token: _Token, follower: _Token) -> None:
    """Look at the next word too: an abbreviation may end a sentence, an initial or a number may not."""
    if not token.text.endswith("."):
        return
    learned, kind, follows = parameters(), token.bare(), follower.as_next()
    initial = bool(_INITIAL.fullmatch(token.text))
    if f"{kind}|{follows}" in learned.collocations:
        token.ends, token.abbreviates = False, True
        return
    begins = _begins(follower)
    capital = follower.text[0].isupper()
    if token.abbreviates and not initial and (begins or (capital and follows in learned.starters)):
        token.ends = True
        return
    no_beginning = begins is False or (begins is None and initial and capital and follows not in learned.small)
    if (initial or kind == "##number##") and no_beginning:
        token.ends, token.abbreviates = False, True


def _begins(token: _Token) -> bool | None:
    """Whether a word looks like the first of a sentence, by its letter and where it was seen with it. None: unknown."""
    if token.text in {";", ":", ",", ".", "!", "?"}:
        return False
    learned, kind = parameters(), token.as_next()
    if token.text[0].isupper() and kind in learned.only_capital_at_begin:
        return True
    if token.text[0].islower() and kind not in learned.small_at_begin:
        return False
    return None
