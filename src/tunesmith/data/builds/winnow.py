"""Training rows that go because of other rows: repeated, nearly repeated, not novel, leaking, not among the diverse.

    for lost in winnow(...):        each kind after the other, in the order of ``Cleaning``
        fates[lost.rows] = ...      before the next is asked for: it looks only at what is left

Questions are never taken away here, and of rows that are the same the first stays. A training row that nearly repeats a
question goes whether or not it is the first. Comparisons are rows like others, with their prompt and all their answers.
A comparison and a conversation may ask the same, since they are trained on in different ways: each kind of row is held
against rows of its own kind, and both against the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.types import Comparison, Conversation
from tunesmith.data.builds.fingerprints import Cards
from tunesmith.data.builds.progress import Progress, counted, silent
from tunesmith.data.clean.cleaning import Cleaning, Of
from tunesmith.data.clean.near import Printed, duplicates
from tunesmith.data.leaks.audit import Audit
from tunesmith.data.leaks.report import Report

Mask = NDArray[np.bool_]
Rows = Callable[[Mask], Iterator[tuple[int, Conversation | Comparison]]]
"""The rows of a mask with their numbers, in their order."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that go for one reason."""

    reason: str
    rows: NDArray[np.int64]
    because: NDArray[np.int64]
    """The row that each is like; -1 where there is none."""
    notes: dict[int, str]
    """What else there is to say of a row."""


@dataclass
class Winnow:
    """What is compared, and what came of it."""

    cleaning: Cleaning
    cards: Cards
    rows: Rows
    printed: Callable[[], Printed]
    seed: int
    progress: Progress = silent
    leaks: Report | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, train: Callable[[], Mask], held: Mask) -> Iterator[Lost]:
        """The rows that go. ``train`` says which are still there when it is asked; ``held`` are the questions."""
        steps: dict[str, Callable[[], list[Lost]]] = {
            "repeated": lambda: self._repeated(train()),
            "near": lambda: self._near(train(), held),
            "novelty": lambda: self._novel(train()),
            "leaks": lambda: self._leaks(train()),
            "diverse": lambda: self._diverse(train()),
        }
        for name, step in steps.items():
            if getattr(self.cleaning, name).on:
                began = perf_counter()
                lost = step()
                self.seconds[name] = perf_counter() - began
                yield from lost

    def _of(self, mask: Mask, what: str) -> Iterator[tuple[int, Conversation | Comparison]]:
        return counted(self.rows(mask), self.progress, what, int(mask.sum()))

    def _repeated(self, train: Mask) -> list[Lost]:
        at = np.flatnonzero(train & ~self.cards.rows["rendered"])
        keys = digests(self.cards, self.cleaning.repeated.of)[at]
        judged = self.cards.rows["judged"][at]
        order = np.lexsort((keys, judged))
        keys, judged = keys[order], judged[order]
        begins = np.r_[True, (keys[1:] != keys[:-1]) | (judged[1:] != judged[:-1])][: len(order)]
        first = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        again = np.sort(order[~begins])
        keeper = np.zeros(len(at), np.int64)
        keeper[order] = first
        return [Lost("repeats an earlier row", at[again], at[keeper[again]], {})]

    def _near(self, train: Mask, held: Mask) -> list[Lost]:
        plain = ~self.cards.rows["rendered"]
        printed = self.printed()
        label = duplicates(
            printed, self.cleaning.near.threshold, lambda band: self.progress("near-duplicates", band, printed.bands)
        )
        asked = np.full(len(label), -1)
        at = np.flatnonzero(held)[::-1]
        asked[label[at]] = at  # the first question of each group
        mine = np.flatnonzero(train & plain)
        with_question = asked[label[mine]] >= 0
        kind = label * 2 + self.cards.rows["judged"]
        first = np.full(2 * len(label), -1)
        first[kind[mine[::-1]]] = mine[::-1]
        near = mine[with_question]
        again = mine[~with_question & (first[kind[mine]] != mine)]
        return [
            Lost("nearly repeats what is held out", near, asked[label[near]], {}),
            Lost("nearly repeats an earlier row", again, first[kind[again]], {}),
        ]

    def _novel(self, train: Mask) -> list[Lost]:
        from tunesmith.data.clean.novelty import Novelty, plain, spread
        from tunesmith.data.clean.step import question

        wish = self.cleaning.novelty
        words = plain if wish.letters == "english" else spread
        known = {kind: Novelty(wish.threshold, words=words) for kind in (Conversation, Comparison)}
        kept: dict[type, list[int]] = {kind: [] for kind in known}
        lost: list[tuple[int, int]] = []
        notes: dict[int, str] = {}
        for i, row in self._of(train & ~self.cards.rows["rendered"], "novelty"):
            like = known[type(row)].add(question(row))
            if like is None:
                kept[type(row)].append(i)
            else:
                lost.append((i, kept[type(row)][like.text]))
                notes[i] = f"ROUGE-L {like.score:.2f}"
        pairs = np.array(lost, np.int64).reshape(-1, 2)
        return [Lost("asks what an earlier row asks, in nearly these words", pairs[:, 0], pairs[:, 1], notes)]

    def _leaks(self, train: Mask) -> list[Lost]:
        from tunesmith.data.leaks.audit import leak_of
        from tunesmith.data.leaks.sources import evaluation_sets

        wish = self.cleaning.leaks
        audit = Audit(evaluation_sets(wish.sets), ngrams=wish.ngrams, near=wish.near)
        notes: dict[int, str] = {}
        for i, row in self._of(train, "leaks"):
            found = leak_of(row, audit, audit.kinds)
            if found is not None:
                notes[i] = found
        self.leaks = audit.report()
        at = np.array(sorted(notes), np.int64)
        return [Lost("leaks into an evaluation set", at, np.full(len(at), -1), notes)]

    def _diverse(self, train: Mask) -> list[Lost]:
        from tunesmith.data.clean.diverse import by_clusters, k_center, vectors
        from tunesmith.data.clean.step import question

        wish = self.cleaning.diverse
        mask = train & ~self.cards.rows["rendered"]
        points = vectors(question(row) for _, row in self._of(mask, "diversity"))
        choose = k_center if wish.by == "k_center" else by_clusters
        at = np.flatnonzero(mask)
        lost = np.delete(at, choose(points, wish.rows, self.seed))
        reason = f"not among the {wish.rows} chosen for diversity"
        return [Lost(reason, lost, np.full(len(lost), -1), {})]


def digests(cards: Cards, of: Of) -> NDArray[np.uint64]:
    """A number for what of a row is compared."""
    prompt, answer = cards.rows["prompt"], cards.rows["answer"]
    if of == "both":
        found: NDArray[np.uint64] = prompt * np.uint64(0x9E3779B97F4A7C15) ^ answer
        return found
    return np.asarray(prompt if of == "prompt" else answer)
