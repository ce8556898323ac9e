"""The leak audit: which training rows give away which evaluation items.

Evaluation sets go in once and are held as one index; training rows stream past, one at a time, and are never held.
Out come the leaks of each row, and a report with a count and the worst pairs for every evaluation set.

    audit = Audit({"gsm8k": map(item_of, gsm8k)})
    for row in train:
        audit.look(item_of(row))
    print(audit.report().table())

Four kinds of leak:
  source   both come from the same row of a file, or are of one group;
  exact    the same words are asked: the training row's whole prompt, or one turn or answer of at least 8 words, and
           the item's whole prompt, or one turn of it of at least 8 words. Answers are not compared, because a
           question that is known leaks whatever answer stood beside it. Signs before numbers must agree: 5 + 3, 5 - 3;
  near     a stretch of the training row is the item's question (one turn, 8 words or more) but for some words:
           2 x equal words / words of both >= ``near``. With 10 % of the words replaced it is 0.9, with as many put in
           or left out 0.95; 0.85 leaves room for short questions. A question with other numbers in it is near as well;
  ngram    n words in a row are the same, anywhere in prompt or answer. 8 words are often a common phrase, 13 seldom.

Words are those of ``words.py``, the same however a text is typed. So ``don't`` is two words and ``1,000`` too (read so,
8-grams of the training questions of GSM8K hit 80 of its 1,319 test questions and 13-grams 3). Where a script has no
spaces each character is a word, and an n-gram more than half of which is such characters is 2 n long.

System messages of training rows are compared like other turns, each by itself. Of an evaluation set those are left out
that many of its items share; and where many training rows have had the same system message, it is no longer compared
with those of the items, only with what is asked. Paraphrases and translations are not looked for.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, UnknownName, counted
from tunesmith.core.types import Comparison, Conversation, Message, SetAside, Source
from tunesmith.data.text import rolling
from tunesmith.data.text.words import alphabet, excerpt, plain, words

Kind = Literal["exact", "ngram", "near", "source"]

LONG_ENOUGH = 8
"""Words that a turn needs to be compared by itself; ``Yes, please.`` leaks nothing."""
SHINGLE = 3
"""Words of the n-grams that propose near duplicates."""
SHARED = 0.5
"""Share of a question's shingles that a row must hold to be aligned with it. An edited word breaks at most three
shingles, so of a question of 8 or more words with 10 % of them edited more than 0.6 are left."""
SYSTEM = ("system", "developer")
TOLD = 4096
"""System messages of training rows that are remembered."""
PAIRS = 3
"""Pairs kept for one item and kind: enough to look at, few enough to hold."""
CROWD = 20
"""Items of one set that one n-gram, or one row by nearness, is counted against. A set made from templates has phrases
that all of its items share: a row with such a phrase is found, but need not be found ten thousand times."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the audit compares of a row, on either side."""

    id: str
    prompt: tuple[str, ...]
    """The turns before the answer."""
    answer: tuple[str, ...] = ()
    group: str = ""
    """What must not be on both sides; empty where nothing is known."""
    source: Source = Source("")  # noqa: RUF009 (frozen)
    system: tuple[str, ...] = ()
    """What the system says; no part of the prompt."""

    def __post_init__(self) -> None:
        if any(isinstance(value, str) for value in (self.prompt, self.answer, self.system)):
            raise DataError(
                f"Item {self.id!r}: prompt, answer and system are tuples of texts, not one text; write (text,)."
            )


@dataclass(frozen=True, slots=True)
class Leak:
    """One training row that gives away one evaluation item."""

    kind: Kind
    n: int
    """The length of the n-gram; 0 for the other kinds."""
    train: str
    held: str
    text: str
    """The longest stretch of the training row that matches, as found there; for ``source``, the row or group."""
    score: float
    """ngram: share of the item's words that the row covers; near: likeness, 0 to 1; else 1."""

    @property
    def name(self) -> str:
        """``exact``, ``near``, ``source``, ``8-gram``, ``13-gram``."""
        return f"{self.n}-gram" if self.kind == "ngram" else self.kind


@dataclass(frozen=True, slots=True)
class Leaked:
    """One evaluation item that leaks in one way."""

    held: str
    rows: int
    """How many training rows give it away."""
    pairs: tuple[Leak, ...]
    """The worst of them, at most three."""

    def merge(self, other: Leaked) -> Leaked:
        return Leaked(self.held, self.rows + other.rows, _worst((*self.pairs, *other.pairs)))


@dataclass(frozen=True, slots=True)
class SetReport:
    """What was found of one evaluation set."""

    items: int
    too_short: Mapping[str, int]
    """Items that cannot be compared in a way because they have too few words, by kind."""
    crowded: Mapping[str, int]
    """n-grams that more than 20 items share, by kind: they count against the first 20."""
    leaked: Mapping[str, tuple[Leaked, ...]]
    """By kind, in the order of the items' ids."""
    rows: Mapping[str, int]
    """How many training rows leak into the set, by kind."""
    shared: int = 0
    """System messages that are not compared, because many items share them."""

    def share(self, kinds: Collection[str]) -> float:
        """The share of the items that leak in any of these ways."""
        return (
            len({one.held for kind in kinds for one in self.leaked.get(kind, ())}) / self.items if self.items else 0.0
        )

    def pairs(self, kind: str) -> list[Leak]:
        """The worst pair of each item, the worst first."""
        return sorted((one.pairs[0] for one in self.leaked[kind]), key=_badness)


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found. Reports of parts of the training rows merge to the report of the whole."""

    rows: int
    """Training rows that were looked at."""
    ngrams: tuple[int, ...]
    near: float
    sets: Mapping[str, SetReport]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways to leak, the surest first."""
        return kinds_of(self.ngrams)

    def merge(self, other: Report) -> Report:
        """Both together, whatever the order; the evaluation sets must be the same."""
        sizes = {name: s.items for name, s in self.sets.items()}
        others = {name: s.items for name, s in other.sets.items()}
        if (sizes, self.ngrams, self.near) != (others, other.ngrams, other.near):
            raise DataError(
                "These two leak reports are not of the same audit: one has "
                f"{sizes}, n-grams {self.ngrams}, near {self.near}, the other {others}, n-grams {other.ngrams}, "
                f"near {other.near}. Merge reports of parts of one training set only."
            )
        sets = {}
        for name, mine in self.sets.items():
            theirs = other.sets[name]
            leaked = {}
            for kind in self.kinds:
                both = {one.held: one for one in mine.leaked[kind]}
                for one in theirs.leaked[kind]:
                    both[one.held] = both[one.held].merge(one) if one.held in both else one
                leaked[kind] = tuple(both[held] for held in sorted(both))
            rows = {kind: mine.rows[kind] + theirs.rows[kind] for kind in self.kinds}
            sets[name] = SetReport(mine.items, mine.too_short, mine.crowded, leaked, rows, mine.shared)
        return Report(self.rows + other.rows, self.ngrams, self.near, sets)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        sets = {}
        for name, s in value["sets"].items():
            leaked = {
                kind: tuple(Leaked(i["held"], i["rows"], tuple(Leak(**p) for p in i["pairs"])) for i in items)
                for kind, items in s["leaked"].items()
            }
            sets[name] = SetReport(s["items"], s["too_short"], s["crowded"], leaked, s["rows"], s.get("shared", 0))
        return cls(value["rows"], tuple(value["ngrams"]), value["near"], sets)

    def table(self, pairs: int = 3) -> str:
        """Plain text: a line for each set, what could not be compared, and the worst ``pairs`` of each kind."""
        kinds = self.kinds
        width = max([len(name) for name in self.sets] + [len("evaluation set")])
        lines = [f"{counted(self.rows, 'training row')} against {counted(len(self.sets), 'evaluation set')}", ""]
        lines.append("  ".join([f"{'evaluation set':<{width}}", f"{'items':>8}", *(f"{k:>8}" for k in kinds)]))
        for name, s in self.sets.items():
            counts = (f"{len(s.leaked[k]):>8,}" for k in kinds)
            lines.append("  ".join([f"{name:<{width}}", f"{s.items:>8,}", *counts]))
        for name, s in self.sets.items():
            notes = [f"too short for {k}: {counted(c, 'item')}" for k, c in s.too_short.items() if c]
            notes += [f"in more than {CROWD} items: {counted(c, k)}" for k, c in s.crowded.items() if c]
            notes += [f"not compared, because many items share them: {counted(s.shared, 'system message')}"] * bool(
                s.shared
            )
            if notes:
                lines += ["", f"{name}: {'; '.join(notes)}"]
            for kind in kinds:
                worst = s.pairs(kind)
                if not worst or not pairs:
                    continue
                what = f"{counted(len(worst), 'item')} from {counted(s.rows[kind], 'training row')}"
                lines += ["", f"{name}, {kind}: {what}"]
                lines += [f"  {p.score:.2f}  {p.train} -> {p.held}: {_one_line(p.text)}" for p in worst[:pairs]]
                if len(worst) > pairs:
                    lines.append(f"  ... and {counted(len(worst) - pairs, 'item')} more")
        lines += ["", "Not looked for: paraphrases and translations, which share too few words."]
        return "\n".join(lines)


def kinds_of(ngrams: Iterable[int]) -> tuple[str, ...]:
    """The names of the ways to leak, the surest first."""
    return ("source", "exact", "near", *(f"{n}-gram" for n in sorted(ngrams, reverse=True)))


def item_of(row: Conversation | Comparison) -> Item:
    """What the audit compares of a row: every turn; its answer, else the one that counts as right."""
    if isinstance(row, Comparison):
        answers = tuple(text for answer in row.answers for m in answer for text in _texts(m))
        prompt = row.prompt
    else:
        prompt = row.prompt
        last = row.messages[len(prompt) :]
        answers = tuple(text for m in last for text in _texts(m)) or row.answers[:1]
    asked = tuple(text for m in prompt if m.role not in SYSTEM for text in _texts(m))
    told = tuple(text for m in prompt if m.role in SYSTEM for text in _texts(m))
    return Item(row.id, asked, answers, row.group, row.source, told)


def _texts(message: Message) -> Iterator[str]:
    if message.reasoning_content:
        yield message.reasoning_content
    if message.content:
        yield message.content
    for call in message.tool_calls:
        yield json.dumps(call, ensure_ascii=False, default=str)


# Words to n-grams, as 64-bit numbers (``rolling``) of the words' hashes. That two windows of other words share a hash
# is to be expected once in 10^4 audits of 10 M rows; it is not looked for.

_UNKNOWN, _END = 0, 1
"""A word that is in no evaluation set, so that no window over it can match; the end of a text."""
_FIRST = 2


def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_SIGNED = re.compile(r"([-+*/^=<>%×÷−])\s*(?=[\d.(])")


class _Part(NamedTuple):
    """Windows of one width, and where they begin."""

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    width: int
    n: int


class _Index(NamedTuple):
    """Hashes of windows, sorted, and where each of them stands among the evaluation sets' words."""

    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]
    """Key i stands at ``places[starts[i]:starts[i + 1]]``."""
    places: NDArray[np.int64]
    widths: NDArray[np.int64]
    """Of each key."""
    names: NDArray[np.int64]
    """Of each key: the n of its n-gram, 0 for a shingle."""
    maybe: NDArray[np.bool_]
    """Whether a key begins with these bits: most words of most rows are done with one look here."""
    shift: np.uint64

    @classmethod
    def make(cls, parts: Sequence[_Part]) -> _Index:
        none = _Part(np.zeros(0, np.uint64), np.zeros(0, np.int64), 1, 0)
        parts = [none, *parts]
        hashes = np.concatenate([p.hashes for p in parts])
        places = np.concatenate([p.places for p in parts])
        sizes = [len(p.places) for p in parts]
        widths = np.repeat(np.array([p.width for p in parts], np.int64), sizes)
        names = np.repeat(np.array([p.n for p in parts], np.int64), sizes)
        order = np.lexsort((places, hashes))
        hashes, places = hashes[order], places[order]
        keys, first = np.unique(hashes, return_index=True)
        bits = min(max(16, (len(keys) * 16).bit_length()), 26)
        shift = np.uint64(64 - bits)
        maybe = np.zeros(1 << bits, np.bool_)
        maybe[keys >> shift] = True
        starts = np.append(first, len(hashes)).astype(np.int64)
        return cls(keys, starts, places, widths[order][first], names[order][first], maybe, shift)

    def find(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of the hashes are keys, and which keys they are."""
        at = np.flatnonzero(self.maybe[hashes >> self.shift])
        wanted = hashes[at]
        key = np.searchsorted(self.keys, wanted)
        key[key == len(self.keys)] = 0
        sure = self.keys[key] == wanted if len(self.keys) else np.zeros(len(key), np.bool_)
        return at[sure], key[sure]

    def spread(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every place of every key, and which of ``keys`` it belongs to."""
        starts = self.starts[keys]
        counts = self.starts[keys + 1] - starts
        which = np.repeat(np.arange(len(keys)), counts)
        inside = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.places[starts[which] + inside], which


class _Turn(NamedTuple):
    """A turn of a question, among the words of the evaluation sets."""

    item: int
    start: int
    stop: int
    text: str
    system: bool


class _Held:
    """The evaluation sets, end to end in one array of words."""

    def __init__(self, sets: Mapping[str, Iterable[Item]]) -> None:
        self.items: list[Item] = []
        self.set_of: list[int] = []
        self.ids: dict[str, int] = {}
        """The number of each word."""
        self.exact: dict[bytes, list[tuple[int, tuple[str, ...], bool]]] = {}
        """By the numbers of the words asked: the item, its texts, and whether they are a system message."""
        self.shared: list[int] = []
        """Of each set, how many system messages are left out."""
        self.groups: dict[str, list[int]] = {}
        self.sources: dict[Source, list[int]] = {}
        tokens: list[int] = []
        bounds = [0]
        asked: list[_Turn] = []
        for number, (name, of_set) in enumerate(sets.items()):
            seen: set[str] = set()
            items = list(of_set)
            shared = _shared(items)
            self.shared.append(len(shared))
            for item in items:
                if item.id in seen:
                    raise DataError(f"Evaluation set {name!r} has two items {item.id!r}; give each an id of its own.")
                seen.add(item.id)
                told = [text for text in item.system if text not in shared]
                for place, text in enumerate((*item.prompt, *item.answer, *told)):
                    start = len(tokens)
                    tokens += [self.ids.setdefault(word, len(self.ids) + _FIRST) for word in words(text)]
                    system = place >= len(item.prompt) + len(item.answer)
                    if system or place < len(item.prompt or item.answer):
                        asked.append(_Turn(len(self.items), start, len(tokens), text, system))
                    tokens.append(_END)
                if item.group:
                    self.groups.setdefault(item.group, []).append(len(self.items))
                if item.source.line or item.source.item:
                    self.sources.setdefault(item.source, []).append(len(self.items))
                self.items.append(item)
                self.set_of.append(number)
                bounds.append(len(tokens))

        self.tokens: NDArray[np.int64] = np.array(tokens, np.int64)
        self.hashes = np.array([0, _word_hash(" "), *map(_word_hash, self.ids)], np.uint64)
        single = alphabet()[1].match if any(not word.isascii() for word in self.ids) else None
        by_itself = [False, False, *(single is not None and bool(single(word)) for word in self.ids)]
        self.alone: NDArray[np.bool_] = np.array(by_itself, np.bool_)[self.tokens]
        """Whether a word is one character of a script without spaces."""
        self.item_at: NDArray[np.int64] = np.repeat(np.arange(len(self.items)), np.diff(bounds))
        ends = np.append(0, np.cumsum(self.tokens == _END))[np.array(bounds)]
        self.sizes: list[int] = (np.diff(bounds) - np.diff(ends)).tolist()

        long = [turn for turn in asked if self._weight(turn) >= LONG_ENOUGH]
        self.turns = [(turn.start, turn.stop) for turn in long]
        self.turn_item = [turn.item for turn in long]
        self.turn_of_system = [turn.system for turn in long]
        self.of_system: NDArray[np.bool_] = np.zeros(len(tokens), np.bool_)
        """Whether a word is of a system message."""
        for turn in asked:
            self.of_system[turn.start : turn.stop] = turn.system
        self.turn_at: NDArray[np.int64] = np.full(len(tokens), -1, np.int64)
        """Which turn a word is of; -1 where it is of an answer, or of a turn that is too short."""
        for number, (start, stop) in enumerate(self.turns):
            self.turn_at[start:stop] = number
        self.turn_needs: NDArray[np.int64] = np.array(
            [math.ceil(SHARED * (b - a - SHINGLE + 1)) for a, b in self.turns], np.int64
        )
        """How many of a turn's shingles a row must hold."""
        self.compared_as_whole = self._keep_exact(asked)

    def _weight(self, turn: _Turn) -> float:
        """Words; two characters of a script without spaces are about one."""
        return turn.stop - turn.start - float(self.alone[turn.start : turn.stop].sum()) / 2

    def _keep_exact(self, asked: Sequence[_Turn]) -> frozenset[int]:
        turns: dict[int, list[_Turn]] = {}
        for turn in asked:
            turns.setdefault(turn.item, []).append(turn)
        whole = set()
        for item, mine in turns.items():
            texts = self.items[item].prompt or self.items[item].answer
            joined = np.concatenate([self.tokens[:0], *(self.tokens[t.start : t.stop] for t in mine if not t.system)])
            keys = {joined.tobytes(): (texts, False)} if len(joined) else {}
            if keys:
                whole.add(item)
            for turn in mine:
                if self._weight(turn) >= LONG_ENOUGH:
                    keys.setdefault(self.tokens[turn.start : turn.stop].tobytes(), ((turn.text,), turn.system))
            for key, (said, system) in keys.items():
                self.exact.setdefault(key, []).append((item, said, system))
        return frozenset(whole)


def _shared(items: Sequence[Item]) -> set[str]:
    """The system messages that many items of a set share: they say what is done, not what is asked."""
    counts = Counter(text for item in items for text in set(item.system))
    return {text for text, count in counts.items() if count > max(1, min(CROWD, len(items) // 2))}


class _Told(NamedTuple):
    """A system message of training rows."""

    rows: int
    """How many rows had it."""
    leaks: dict[bool, list[tuple[int, Leak]]]
    """What it gives away; by whether so many rows have it that it is not compared with the items' system messages."""


class Audit:
    """Evaluation sets, ready to be compared with any number of training rows; counts what it sees."""

    def __init__(
        self, sets: Mapping[str, Iterable[Item]], *, ngrams: Sequence[int] = (8, 13), near: float = 0.85
    ) -> None:
        if not sets:
            raise DataError("A leak audit needs at least one evaluation set to compare the training rows with.")
        if bad := [n for n in ngrams if n <= SHINGLE]:
            raise DataError(
                f"n-grams of {bad[0]} words are in every text; ask for {SHINGLE + 1} or more, such as 8, 13."
            )
        if not SHARED <= near <= 1:
            raise DataError(f"near is {near}, but a likeness is from {SHARED} to 1; 0.85 finds 10 % of words edited.")
        self.ngrams = tuple(sorted(set(ngrams)))
        self.near = near
        self._sets = tuple(sets)
        self._rows = 0
        self._leaking: Counter[tuple[int, str]] = Counter()
        self._found: dict[tuple[int, str], Leaked] = {}
        self._held = _Held(sets)
        self._too_short = {name: {"exact": 0, "near": 0, **{f"{n}-gram": 0 for n in self.ngrams}} for name in sets}
        self._crowded = {name: {f"{n}-gram": 0 for n in self.ngrams} for name in sets}
        self._index = _Index.make(self._parts())
        self._widths = [int(w) for w in np.unique(self._index.widths)]
        self._told: dict[str, _Told] = {}
        compared = frozenset(
            item for item, system in zip(self._held.turn_item, self._held.turn_of_system, strict=True) if not system
        )
        for item in range(len(self._held.items)):
            counts = self._too_short[self._sets[self._held.set_of[item]]]
            counts["exact"] += item not in self._held.compared_as_whole
            counts["near"] += item not in compared

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways to leak, the surest first."""
        return kinds_of(self.ngrams)

    def _parts(self) -> list[_Part]:
        """All windows of the evaluation sets that a row can match."""
        held = self._held
        ends, alone = (np.append(0, np.cumsum(x)) for x in (held.tokens == _END, held.alone))
        sums = rolling.sums(held.hashes[held.tokens])
        parts = []
        for n in self.ngrams:
            has = np.zeros(len(held.items), np.bool_)
            for width, wide in ((n, False), (2 * n, True)):
                windows = rolling.windows(sums, width)
                whole = ends[width:] == ends[: len(windows)]
                mostly = 2 * (alone[width:] - alone[: len(windows)]) > width
                places = np.flatnonzero(whole & (mostly == wide))
                has[held.item_at[places]] = True
                parts.append(_Part(*self._thinned(windows[places], places, f"{n}-gram"), width, n))
            for item in np.flatnonzero(~has):
                self._too_short[self._sets[held.set_of[item]]][f"{n}-gram"] += 1
        windows = rolling.windows(sums, SHINGLE)
        places = np.flatnonzero((held.turn_at[: len(windows)] >= 0) & (ends[SHINGLE:] == ends[: len(windows)]))
        parts.append(_Part(windows[places], places, SHINGLE, 0))
        return [part for part in parts if len(part.places)]

    def _thinned(
        self, hashes: NDArray[np.uint64], places: NDArray[np.int64], kind: str
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Without the places of an n-gram in all but the first ``CROWD`` items of a set."""
        order = np.lexsort((places, hashes))
        hashes, places = hashes[order], places[order]
        item = self._held.item_at[places]
        of_set = np.array(self._held.set_of, np.int64)[item]
        differs = np.append(True, (np.diff(hashes) != 0) | (np.diff(of_set) != 0))[: len(hashes)]
        next_item = differs | np.append(True, np.diff(item) != 0)[: len(hashes)]
        rank = np.cumsum(next_item)
        rank -= rank[differs][np.cumsum(differs) - 1] if len(rank) else 0
        for number, count in zip(*np.unique(of_set[next_item & (rank == CROWD)], return_counts=True), strict=True):
            self._crowded[self._sets[number]][kind] += int(count)
        keep = rank < CROWD
        return hashes[keep], places[keep]

    def look(self, row: Item) -> list[tuple[str, Leak]]:
        """One training row against all evaluation sets: every leak, with the name of the set it leaks into."""
        self._rows += 1
        leaks = self._by_source(row) + self._compare(row)
        for text in row.system:
            known = {(item, leak.name) for item, leak in leaks}
            told = self._by_system(text)
            leaks += [(i, replace(leak, train=row.id)) for i, leak in told if (i, leak.name) not in known]
        self._count(leaks)
        return [(self._sets[self._held.set_of[item]], leak) for item, leak in leaks]

    def _by_system(self, text: str) -> list[tuple[int, Leak]]:
        """The leaks of a system message. Many rows have the same, so the last ones are kept with what was found."""
        told = self._told.pop(text, None) or _Told(0, {})
        shared = told.rows >= CROWD
        if shared not in told.leaks:
            told.leaks[shared] = self._compare(Item("", (text,)), with_system=not shared)
        self._told[text] = _Told(told.rows + 1, told.leaks)
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]
        return told.leaks[shared]

    def _compare(self, row: Item, with_system: bool = True) -> list[tuple[int, Leak]]:
        """The leaks of a row's texts, with or without those into system messages."""
        known = self._held.ids.get
        ids: list[int] = []
        stops = []
        for text in row.prompt + row.answer:
            ids += [known(word, _UNKNOWN) for word in words(text)]
            ids.append(_END)
            stops.append(len(ids) - 1)
        tokens = np.array(ids, np.int64)
        exact = self._by_exact(row, tokens, stops, with_system)
        leaks = list(exact.values())

        sums = rolling.sums(self._held.hashes[tokens])
        windows = [rolling.windows(sums, width) for width in self._widths]
        at, key = self._index.find(np.concatenate(windows)) if windows else (tokens[:0], tokens[:0])
        if len(at):
            firsts = np.cumsum([0, *(len(w) for w in windows)])
            at = at - firsts[np.searchsorted(firsts, at, "right") - 1]
            shingle = self._index.names[key] == 0
            leaks += self._by_nearness(row, tokens, at[shingle], key[shingle], exact, with_system)
            if not shingle.all():
                leaks += self._by_ngram(row, at[~shingle], key[~shingle], with_system)
        return leaks

    def _count(self, leaks: Iterable[tuple[int, Leak]]) -> None:
        into = set()
        for item, leak in leaks:
            key = (item, leak.name)
            one = Leaked(leak.held, 1, (leak,))
            self._found[key] = self._found[key].merge(one) if key in self._found else one
            into.add((self._held.set_of[item], leak.name))
        self._leaking.update(into)

    def _by_source(self, row: Item) -> list[tuple[int, Leak]]:
        found = dict.fromkeys(self._held.groups.get(row.group, ()), f"group {row.group}")
        found |= {item: str(row.source) for item in self._held.sources.get(row.source, ())}
        items = self._held.items
        return [(i, Leak("source", 0, row.id, items[i].id, text, 1.0)) for i, text in sorted(found.items())]

    def _by_exact(
        self, row: Item, tokens: NDArray[np.int64], stops: list[int], with_system: bool
    ) -> dict[int, tuple[int, Leak]]:
        starts = [0, *(stop + 1 for stop in stops)][: len(stops)]
        asked = len(row.prompt or row.answer)
        texts = row.prompt + row.answer
        whole = tokens[: stops[asked - 1]] if asked else tokens
        asks = [(whole[whole != _END].tobytes(), texts[:asked])] if len(whole) else []
        for start, stop, text in zip(starts, stops, texts, strict=True):
            if stop - start >= LONG_ENOUGH and len(stops) > 1:
                asks.append((tokens[start:stop].tobytes(), (text,)))
        found: dict[int, tuple[int, Leak]] = {}
        for words_asked, said in asks:
            for item, asked_there, system in self._held.exact.get(words_asked, ()):
                if system and not with_system:
                    continue
                if item not in found and _signs(said) == _signs(asked_there):
                    text = excerpt(said, 0, len(tokens))
                    found[item] = (item, Leak("exact", 0, row.id, self._held.items[item].id, text, 1.0))
        return dict(sorted(found.items()))

    def _by_nearness(
        self,
        row: Item,
        tokens: NDArray[np.int64],
        at: NDArray[np.int64],
        key: NDArray[np.int64],
        exact: Collection[int],
        with_system: bool,
    ) -> list[tuple[int, Leak]]:
        held = self._held
        keys = np.unique(key)
        places, which = self._index.spread(keys)
        turn = held.turn_at[places]
        counts = np.bincount(turn)
        hopeful = np.flatnonzero(counts >= np.maximum(held.turn_needs[: len(counts)], 1))
        share = counts[hopeful] / held.turn_needs[hopeful]
        best: dict[int, Leak] = {}
        tries: Counter[int] = Counter()
        for t in hopeful[np.argsort(-share, kind="stable")].tolist():
            item = held.turn_item[t]
            of_set = held.set_of[item]
            if item in exact or tries[of_set] == CROWD or (held.turn_of_system[t] and not with_system):
                continue
            tries[of_set] += 1
            start, stop = held.turns[t]
            hits = np.unique(at[np.isin(key, keys[which[turn == t]])])
            likeness, a, b = _aligned(held.tokens[start:stop], tokens, hits)
            if likeness >= self.near and (item not in best or likeness > best[item].score):
                text = excerpt(row.prompt + row.answer, a, b)
                best[item] = Leak("near", 0, row.id, held.items[item].id, text, round(likeness, 4))
        return sorted(best.items())

    def _by_ngram(
        self, row: Item, at: NDArray[np.int64], key: NDArray[np.int64], with_system: bool
    ) -> list[tuple[int, Leak]]:
        held = self._held
        places, which = self._index.spread(key)
        if not with_system:
            asked = ~held.of_system[places]
            places, which = places[asked], which[asked]
        item, name = held.item_at[places], self._index.names[key[which]]
        width, at = self._index.widths[key[which]], at[which]
        leaks = []
        for n in reversed(self.ngrams):
            for one in np.unique(item[name == n]).tolist():
                mine = (name == n) & (item == one)
                a, b = _longest(at[mine], places[mine], width[mine])
                covered = _covered(places[mine], width[mine])
                score = round(covered / held.sizes[one], 4)
                text = excerpt(row.prompt + row.answer, a, b)
                leaks.append((one, Leak("ngram", n, row.id, held.items[one].id, text, score)))
        return leaks

    def report(self) -> Report:
        """What was found in all rows so far."""
        sets = {}
        for number, name in enumerate(self._sets):
            leaked: dict[str, list[Leaked]] = {kind: [] for kind in self.kinds}
            for (item, kind), one in self._found.items():
                if self._held.set_of[item] == number:
                    leaked[kind].append(one)
            ordered = {kind: tuple(sorted(ones, key=lambda one: one.held)) for kind, ones in leaked.items()}
            rows = {kind: self._leaking[number, kind] for kind in self.kinds}
            items = self._held.set_of.count(number)
            sets[name] = SetReport(
                items, dict(self._too_short[name]), dict(self._crowded[name]), ordered, rows, self._held.shared[number]
            )
        return Report(self._rows, self.ngrams, self.near, sets)


Row = TypeVar("Row", Conversation, Comparison)


def without_leaks(rows: Iterable[Row], audit: Audit, kinds: Collection[str] = ()) -> Iterator[Row | SetAside]:
    """The rows that give nothing away; each of the others set aside with what it gives away.

    ``kinds`` are the ways that count: all but the shorter n-grams, unless said otherwise.
    """
    wanted = _wanted(kinds, audit.ngrams)
    for row in rows:
        found = leak_of(row, audit, wanted)
        yield row if found is None else SetAside(row.id, f"leaks into {found}", row.source)


def leak_of(row: Conversation | Comparison, audit: Audit, kinds: Collection[str]) -> str | None:
    """The worst leak of a row in one of these ways, in words that begin with the set's name; or nothing."""
    leaks = [(name, leak) for name, leak in audit.look(item_of(row)) if leak.name in kinds]
    if not leaks:
        return None
    name, leak = min(leaks, key=lambda one: (audit.kinds.index(one[1].name), _badness(one[1])))
    return f"{name}: {leak.name} {_one_line(leak.text)!r} of {leak.held}"


def fail_over(report: Report, share: float, kinds: Collection[str] = ()) -> None:
    """An error that names the sets of which more than ``share`` of the items leak, in ways as for ``without_leaks``."""
    wanted = _wanted(kinds, report.ngrams)
    leaking = {name: s.share(wanted) for name, s in report.sets.items() if s.share(wanted) > share}
    if leaking:
        sets = ", ".join(
            f"{name} ({value:.2%} of {report.sets[name].items:,} items)" for name, value in leaking.items()
        )
        raise DataError(
            f"The training rows leak into {sets}; at most {share:.2%} is allowed. Counted: {', '.join(wanted)}. "
            "Look at the pairs in the report, then remove the leaking rows or allow a larger share."
        )


def _wanted(kinds: Collection[str], ngrams: Sequence[int]) -> tuple[str, ...]:
    known = kinds_of(ngrams)
    for kind in kinds:
        if kind not in known:
            raise UnknownName("kind of leak", kind, known)
    return tuple(k for k in known if (k in kinds if kinds else k not in {f"{n}-gram" for n in sorted(ngrams)[:-1]}))


def _signs(texts: Iterable[str]) -> list[str]:
    """The signs that stand before numbers, which are no words but make another question."""
    return [("-" if sign == "−" else sign) for text in texts for sign in _SIGNED.findall(plain(text))]


def _aligned(asked: NDArray[np.int64], row: NDArray[np.int64], hits: NDArray[np.int64]) -> tuple[float, int, int]:
    """How like the question the likest stretch of the row is, and where that begins and ends.

    ``hits`` are the words of the row at which a shingle of the question begins, in order. The stretch is sought
    where they are densest; what is equal in it is counted word by word.
    """
    length = len(asked)
    slack = max(SHINGLE, length // 5)
    dense = np.searchsorted(hits, hits + length + slack) - np.arange(len(hits))
    first = int(hits[int(np.argmax(dense))])
    start = max(first - slack, 0)
    stretch = row[start : first + length + 2 * slack].tolist()
    blocks = difflib.SequenceMatcher(None, asked.tolist(), stretch, autojunk=False).get_matching_blocks()[:-1]

    def likeness() -> float:
        wide = blocks[-1].b + blocks[-1].size - blocks[0].b
        return 2 * sum(block.size for block in blocks) / (length + wide)

    # A chance word at the edge makes the stretch wider than what matches: drop edges while that makes it more alike.
    best = likeness()
    for edge in (0, -1):
        while len(blocks) > 1:
            dropped = blocks.pop(edge)
            if likeness() <= best:
                blocks.insert(0 if edge == 0 else len(blocks), dropped)
                break
            best = likeness()
    return best, start + blocks[0].b, start + blocks[-1].b + blocks[-1].size


def _covered(places: NDArray[np.int64], widths: NDArray[np.int64]) -> int:
    """How many words windows at these places cover together."""
    order = np.argsort(places, kind="stable")
    starts = places[order]
    stops = np.maximum.accumulate(starts + widths[order])
    before = np.append(starts[:1], stops[:-1])
    return int(np.maximum(stops - np.maximum(before, starts), 0).sum())


def _longest(at: NDArray[np.int64], places: NDArray[np.int64], widths: NDArray[np.int64]) -> tuple[int, int]:
    """The longest stretch of the row that windows one after the other cover, both in the row and in the item."""
    order = np.lexsort((at, at - places))
    at, diagonal, widths = at[order], (at - places)[order], widths[order]
    breaks = np.flatnonzero((np.diff(diagonal) != 0) | (np.diff(at) > widths[:-1])) + 1
    begins, ends = np.append(0, breaks), np.append(breaks, len(at)) - 1
    lengths = at[ends] + widths[ends] - at[begins]
    best = int(np.argmax(lengths))
    return int(at[begins[best]]), int(at[begins[best]] + lengths[best])


def _badness(leak: Leak) -> tuple[float, str, str, str]:
    return (-leak.score, leak.train, leak.held, leak.text)


def _worst(pairs: Iterable[Leak]) -> tuple[Leak, ...]:
    return tuple(sorted(set(pairs), key=_badness)[:PAIRS])


def _one_line(text: str) -> str:
    return " ".join(text.split())
