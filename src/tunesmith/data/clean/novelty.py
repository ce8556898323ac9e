"""Self-Instruct's novelty filter: a text is kept if its ROUGE-L with every text kept before is 0.7 or less.

    novelty = Novelty(seeds=["Write a poem."])
    novelty.add("Write a poem!")         Match(text=0, score=1.0): like the first seed, not kept
    novelty.add("Name three rivers.")    None: new, and kept

Each decision is that of ``rouge_score`` (``rougeL``, no stemmer), for the same words and the same arithmetic. What is
not done is scoring pairs that cannot be alike: two texts have no longer common subsequence than they have words in
common, and those are counted for all kept texts at once through an index from words to texts. The rest is scored with
whole rows of the table as bits of one number (Hyyro 2004).

``rouge_score`` sees the letters a to z and digits only, so to it all Chinese is empty and never alike. ``words=spread``
takes each character of such scripts for a word, and every other letter too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.clean.rouge import f_measure, longest, masks

THRESHOLD = 0.7
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_SPREAD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")


def plain(text: str) -> list[str]:
    """The words as ``rouge_score`` sees them."""
    return _NOT_PLAIN.sub(" ", text.lower()).split()


def spread(text: str) -> list[str]:
    """Words of any script; where a script has no spaces, its characters."""
    return _SPREAD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class Match:
    """The kept text that is most like a new one."""

    text: int
    """Its number among the kept texts, in the order in which they were kept."""
    score: float


class Novelty:
    """The texts that are kept, and what is asked of a new one."""

    def __init__(
        self,
        threshold: float = THRESHOLD,
        seeds: Iterable[str] = (),
        words: Callable[[str], Sequence[str]] = plain,
    ) -> None:
        self.threshold = threshold
        self._words = words
        self._kept: list[list[int]] = []
        self._lengths = _Growing()
        self._numbers: dict[str, int] = {}
        self._texts: list[_Growing] = []
        self._counts: list[_Growing] = []
        for seed in seeds:
            self._keep(self._coded(seed))

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, text: str) -> Match | None:
        """Keep a text that is new; else the kept text that is most like it."""
        words = self._coded(text)
        found = self._most_like(words)
        if found is None:
            self._keep(words)
        return found

    def _most_like(self, words: list[int]) -> Match | None:
        if not words or not self._kept:
            return None
        common = np.zeros(len(self._kept), np.int64)
        for word, count in Counter(words).items():
            if word < len(self._texts):
                common[self._texts[word].values] += np.minimum(self._counts[word].values, count)
        # F is at most 2c / (m + n) for c common words. The margin is for the rounding of their arithmetic.
        bound = 2 * common / (self._lengths.values + len(words))
        best: Match | None = None
        places = masks(words)
        for i in np.flatnonzero(bound > self.threshold - 1e-9).tolist():
            score = f_measure(longest(self._kept[i], places, len(words)), len(words), len(self._kept[i]))
            if score > self.threshold and (best is None or score > best.score):
                best = Match(i, score)
        return best

    def _keep(self, words: list[int]) -> None:
        number = len(self._kept)
        self._kept.append(words)
        self._lengths.append(len(words))
        for word, count in Counter(words).items():
            while word >= len(self._texts):
                self._texts.append(_Growing())
                self._counts.append(_Growing())
            self._texts[word].append(number)
            self._counts[word].append(count)

    def _coded(self, text: str) -> list[int]:
        return [self._numbers.setdefault(word, len(self._numbers)) for word in self._words(text)]


class _Growing:
    """An array that grows at its end."""

    def __init__(self) -> None:
        self._room = np.zeros(4, np.int64)
        self._size = 0

    def append(self, value: int) -> None:
        if self._size == len(self._room):
            self._room = np.concatenate([self._room, np.zeros_like(self._room)])
        self._room[self._size] = value
        self._size += 1

    @property
    def values(self) -> NDArray[np.int64]:
        return self._room[: self._size]
