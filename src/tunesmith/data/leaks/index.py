"""The evaluation sets as one array of words, and an index of their n-grams."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError
from tunesmith.core.types import Source
from tunesmith.data.leaks.item import Item
from tunesmith.data.leaks.report import CROWD
from tunesmith.data.text.words import alphabet, words

LONG_ENOUGH = 8
"""Words that a turn needs to be compared by itself; ``Yes, please.`` leaks nothing."""
SHINGLE = 3
"""Words of the n-grams that propose near duplicates."""
SHARED = 0.5
"""Share of a question's shingles that a row must hold to be aligned with it. An edited word breaks at most three
shingles, so of a question of 8 or more words with 10 % of them edited more than 0.6 are left."""


# Words to n-grams, as 64-bit numbers (``rolling``) of the words' hashes. That two windows of other words share a hash
# is to be expected once in 10^4 audits of 10 M rows; it is not looked for.

UNKNOWN, END = 0, 1
"""A word that is in no evaluation set, so that no window over it can match; the end of a text."""
_FIRST = 2


def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Part(NamedTuple):
    """Windows of one width, and where they begin."""

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    width: int
    n: int


class Index(NamedTuple):
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
    def make(cls, parts: Sequence[Part]) -> Index:
        none = Part(np.zeros(0, np.uint64), np.zeros(0, np.int64), 1, 0)
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


class HeldTurn(NamedTuple):
    """A turn of a question, among the words of the evaluation sets."""

    item: int
    start: int
    stop: int
    text: str
    system: bool


class HeldItems:
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
        asked: list[HeldTurn] = []
        for number, (name, of_set) in enumerate(sets.items()):
            seen: set[str] = set()
            items = list(of_set)
            shared = shared_system(items)
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
                        asked.append(HeldTurn(len(self.items), start, len(tokens), text, system))
                    tokens.append(END)
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
        ends = np.append(0, np.cumsum(self.tokens == END))[np.array(bounds)]
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

    def _weight(self, turn: HeldTurn) -> float:
        """Words; two characters of a script without spaces are about one."""
        return turn.stop - turn.start - float(self.alone[turn.start : turn.stop].sum()) / 2

    def _keep_exact(self, asked: Sequence[HeldTurn]) -> frozenset[int]:
        turns: dict[int, list[HeldTurn]] = {}
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


def shared_system(items: Sequence[Item]) -> set[str]:
    """The system messages that many items of a set share: they say what is done, not what is asked."""
    counts = Counter(text for item in items for text in set(item.system))
    return {text for text, count in counts.items() if count > max(1, min(CROWD, len(items) // 2))}
