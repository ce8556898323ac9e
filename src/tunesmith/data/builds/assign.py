"""Decide where each row goes, from the cards of all rows at once.

    fates = decide(cards, wish, templates, Selection(seed=1, per_level=600))
    fates.of[i]            a number for row i: a place, or why it has none
    fates.reason(i)        that in words
    fates.drawn["seen"]    the rows that are asked at a level, in the order of the draw

Nothing here depends on a row's text, its reader, or the number of workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, near
from tunesmith.core.types import LEVELS, Level
from tunesmith.data.builds.fingerprints import Cards, members
from tunesmith.data.builds.held_out import PLACES, HeldOut
from tunesmith.data.builds.ledger import Step
from tunesmith.data.builds.split import Split
from tunesmith.data.builds.winnow import Lost
from tunesmith.data.text.hashing import first, order

TRAIN = PLACES.index("train")
HELD: tuple[Level, ...] = LEVELS[1:]
AGAIN = "is an earlier row again"
LEAK = "asks word for word what is held out"


@dataclass(frozen=True)
class Fates:
    """Where every row goes."""

    of: NDArray[np.uint16]
    """A place, by its number in ``PLACES``; or, counted on from there, one of the ``reasons``."""
    reasons: tuple[str, ...]
    """Why rows are not used."""
    drawn: Mapping[Level, NDArray[np.int64]]
    """The rows that are asked, by level, in the order in which they were drawn."""
    split: Split
    steps: tuple[Step, ...]
    """The ledger of the decisions."""
    because: NDArray[np.int64]
    """For a row that is rejected because of another one: that one. Else -1."""
    notes: Mapping[int, str]
    """What else there is to say of a row that is not used."""

    def reason(self, row: int) -> str:
        """Why a row is not used, or nothing."""
        fate = int(self.of[row])
        return self.reasons[fate - len(PLACES)] if fate >= len(PLACES) else ""

    def unused(self) -> NDArray[np.bool_]:
        """The rows that have a reason."""
        found: NDArray[np.bool_] = self.of >= len(PLACES)
        return found


class _Book:
    """Fates in the making."""

    def __init__(self, places: NDArray[np.uint8]) -> None:
        self.of = places.astype(np.uint16)
        self.reasons: list[str] = []
        self.because = np.full(len(places), -1, np.int64)
        self.notes: dict[int, str] = {}

    def put(self, rows: NDArray[Any], reason: str, because: NDArray[np.int64] | None = None) -> int:
        """Rows that go for this reason; how many."""
        at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        if len(at):
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.of[at] = len(PLACES) + self.reasons.index(reason)
            if because is not None:
                self.because[at] = because
        return len(at)


@dataclass(frozen=True, slots=True)
class Selection:
    """How much of the rows is taken; what is None takes all."""

    seed: int
    per_level: int | None = None
    """Questions of each held-out level."""
    clusters: int | None = None
    """Clusters trained on."""
    templates_per_task: int | None = None
    templates_named: Sequence[str] | None = None
    """The templates trained on."""
    templates_asked: Sequence[str] | None = None
    """The templates that held-out questions are asked in."""
    wordings: int | None = None
    """Templates trained on for each example."""


def decide(
    cards: Cards,
    wish: HeldOut,
    templates: Mapping[str, Sequence[str]],
    take: Selection,
    *,
    broken: Mapping[str, int] | None = None,
    winnow: Callable[[Callable[[], NDArray[np.bool_]], NDArray[np.bool_]], Iterable[Lost]] = lambda train, held: (),
) -> Fates:
    """Decide. ``broken`` are the rows that could not be put into words, which the books count too. ``winnow`` is
    given the training rows and the questions, and says which of the former go."""
    split = Split.make(wish, cards, templates)
    book = _Book(split.places)
    aside, held = _set_aside(cards, book)
    _check_left(cards, split, book.of)
    words: dict[str, int] = {place: int((book.of == n).sum()) for n, place in enumerate(PLACES)}
    aside = {**(broken or {}), **aside, "new wording of a held-out instance: no level": words.pop("neither", 0)}
    all_rows = len(cards) + sum((broken or {}).values())
    cut: dict[str, int] = {}
    for lost in winnow(lambda: book.of == TRAIN, held):
        cut[lost.reason] = book.put(lost.rows, lost.reason, lost.because)
        book.notes.update(lost.notes)
    cut |= _narrow(cards, book, take)
    drawn, step = _ask(cards, book, held, take)
    steps = (
        Step("rows in words", all_rows, words, _some(aside)),
        Step("training rows", words["train"], {"train": int((book.of == TRAIN).sum())}, _some(cut)),
        step,
    )
    return Fates(book.of, tuple(book.reasons), drawn, split, steps, book.because, book.notes)


def _set_aside(cards: Cards, book: _Book) -> tuple[dict[str, int], NDArray[np.bool_]]:
    """Rows that no side gets: cleaned away, there before, or asking word for word what is held out. Their number by
    reason, and which rows are held out."""
    rows, fates = cards.rows, book.of
    aside = {reason: book.put(rows["reason"] == n, reason) for n, reason in enumerate(cards.names["reason"]) if reason}
    at = np.flatnonzero(fates < len(PLACES))
    _, firsts = np.unique(rows["id"][at], return_index=True)
    aside[AGAIN] = book.put(np.delete(at, firsts), AGAIN)
    held: NDArray[np.bool_] = np.isin(fates, [PLACES.index(level) for level in HELD])
    asked, where = np.unique(rows["prompt"][held], return_index=True)
    which = np.flatnonzero(held)[where]
    suspects = np.flatnonzero((fates == TRAIN) & np.isin(rows["prompt"], asked))
    aside[LEAK] = book.put(suspects, LEAK, which[np.searchsorted(asked, rows["prompt"][suspects])])
    return aside, held


def _narrow(cards: Cards, book: _Book, take: Selection) -> dict[str, int]:
    """Take fewer training rows, as asked; the number that goes, by reason."""
    rows, fates, seed = cards.rows, book.of, take.seed
    cut: dict[str, int] = {}
    if take.clusters is not None:
        here = {cards.names["cluster"][i] for i in np.unique(rows["cluster"][fates == TRAIN])}
        keep = members(rows["cluster"], first(here, take.clusters, seed), cards.names["cluster"])
        reason = f"not in the {take.clusters} clusters trained on"
        cut[reason] = book.put((fates == TRAIN) & ~keep, reason)
    if take.templates_named is not None:
        keep = _named(cards, take.templates_named)
        reason = "not in the templates that are named for training"
        cut[reason] = book.put((fates == TRAIN) & ~keep, reason)
    if take.templates_per_task is not None:
        names: set[str] = set()
        left = rows[fates == TRAIN]
        for task in np.unique(left["task"]):
            mine = np.unique(left["template"][left["task"] == task])
            names |= first({cards.names["template"][i] for i in mine}, take.templates_per_task, seed)
        keep = members(rows["template"], names, cards.names["template"])
        reason = f"not in the {take.templates_per_task} templates trained on per task"
        cut[reason] = book.put((fates == TRAIN) & ~keep, reason)
    if take.wordings is not None:
        at = np.flatnonzero((fates == TRAIN) & rows["rendered"])
        by_example = at[np.lexsort((rows["order"][at], rows["example"][at]))]
        example = rows["example"][by_example]
        starts = np.flatnonzero(np.r_[True, example[1:] != example[:-1]][: len(example)])
        turn = np.arange(len(example)) - np.repeat(starts, np.diff(np.r_[starts, len(example)]))
        reason = f"not among the {take.wordings} wordings of its example"
        cut[reason] = book.put(by_example[turn >= take.wordings], reason)
    return cut


def _ask(
    cards: Cards, book: _Book, held: NDArray[np.bool_], take: Selection
) -> tuple[dict[Level, NDArray[np.int64]], Step]:
    """The rows that are asked, of each level, and what became of the others that are held out."""
    fates, talks = book.of, ~cards.rows["judged"]
    places: dict[Level, int] = {"seen": TRAIN, **{level: PLACES.index(level) for level in HELD}}
    asking = talks if take.templates_asked is None else talks & _named(cards, take.templates_asked)
    drawn = {
        level: _draw(cards, np.flatnonzero((fates == n) & asking), take.per_level, take.seed)
        for level, n in places.items()
    }
    asked: dict[str, int] = {level: len(drawn[level]) for level in HELD}
    judged, other_words = int((held & ~talks).sum()), int((held & talks & ~asking).sum())
    rows = int(held.sum())
    return drawn, Step(
        "held-out rows",
        rows,
        asked,
        _some(
            {
                "a comparison, which is not asked": judged,
                "in none of the templates that are named for asking": other_words,
                f"not among the {take.per_level} drawn for a level": rows - judged - other_words - sum(asked.values()),
            }
        ),
    )


def _named(cards: Cards, wanted: Sequence[str]) -> NDArray[np.bool_]:
    """The rows in templates of these names, of whatever task."""
    short = {name: name.rpartition("/")[2] for name in cards.names["template"]}
    if unknown := [name for name in wanted if name not in short.values()]:
        raise DataError(f"No task has a template {unknown[0]!r}{near(unknown[0], set(short.values()))}")
    return members(cards.rows["template"], {n for n in short if short[n] in wanted}, cards.names["template"])


def _check_left(cards: Cards, split: Split, fates: NDArray[np.uint16]) -> None:
    """A trained task that has lost every row is an error that must not be hidden in a line of the ledger."""
    rows = cards.rows
    wanted = ~members(rows["task"], split.tasks, cards.names["task"])
    wanted &= ~members(rows["cluster"], split.clusters, cards.names["cluster"])
    lost = np.setdiff1d(rows["task"][wanted], rows["task"][fates == TRAIN])
    if len(lost):
        names = sorted(cards.names["task"][i] for i in lost)
        raise DataError(
            f"No training row is left of {', '.join(names)}: each could not be rendered, was cleaned away, or asks "
            "word for word what is held out. Look at the rows with: tunesmith data sample " + names[0]
        )


def _draw(cards: Cards, among: NDArray[np.int64], count: int | None, seed: int) -> NDArray[np.int64]:
    """So many rows, one from each task in turn, in an order of their own that the seed gives.

    Each metric makes a figure of its own, so one with few tasks (refusals) is drawn on up to a sixth of ``count``."""
    if count is None or count >= len(among):
        return among
    rows = cards.rows[among]
    by_order = np.lexsort((rows["order"], rows["task"]))
    task = rows["task"][by_order]
    starts = np.flatnonzero(np.r_[True, task[1:] != task[:-1]])
    turn = np.arange(len(task)) - np.repeat(starts, np.diff(np.r_[starts, len(task)]))
    of_task = np.array([order(seed, name) for name in cards.names["task"]], np.uint64)
    turns = by_order[np.lexsort((of_task[task], turn))]
    drawn, left = turns[:count], turns[count:]
    had = Counter(rows["metric"][drawn].tolist())
    more = []
    for i in left.tolist():
        metric = int(rows["metric"][i])
        if had[metric] < count // 6:
            had[metric] += 1
            more.append(i)
        elif all(had[m] >= count // 6 for m in range(len(cards.names["metric"]))):
            break
    chosen: NDArray[np.int64] = among[np.r_[drawn, np.array(more, np.int64)]]
    return chosen


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
