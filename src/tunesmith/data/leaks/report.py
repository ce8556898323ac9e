"""What an audit found: leaks, by evaluation set and kind, and a report in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tunesmith.core.errors import DataError, counted

Kind = Literal["exact", "ngram", "near", "source"]


PAIRS = 3
"""How many pairs are kept per item and kind: enough to inspect, few enough for memory."""
CROWD = 20
"""Items of one set that one n-gram, or one row by nearness, is counted against. A set made from templates has phrases
that all of its items share: a row with such a phrase is found, but need not be found ten thousand times."""


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
        return Leaked(self.held, self.rows + other.rows, worst((*self.pairs, *other.pairs)))


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
        return sorted((one.pairs[0] for one in self.leaked[kind]), key=badness)


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
                lines += [f"  {p.score:.2f}  {p.train} -> {p.held}: {one_line(p.text)}" for p in worst[:pairs]]
                if len(worst) > pairs:
                    lines.append(f"  ... and {counted(len(worst) - pairs, 'item')} more")
        lines += ["", "Not looked for: paraphrases and translations, which share too few words."]
        return "\n".join(lines)


def kinds_of(ngrams: Iterable[int]) -> tuple[str, ...]:
    """The names of the ways to leak, the surest first."""
    return ("source", "exact", "near", *(f"{n}-gram" for n in sorted(ngrams, reverse=True)))


def badness(leak: Leak) -> tuple[float, str, str, str]:
    return (-leak.score, leak.train, leak.held, leak.text)


def worst(pairs: Iterable[Leak]) -> tuple[Leak, ...]:
    return tuple(sorted(set(pairs), key=badness)[:PAIRS])


def one_line(text: str) -> str:
    return " ".join(text.split())
