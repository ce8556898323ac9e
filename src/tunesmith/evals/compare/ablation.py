"""The result of an ablation: a score for each point over all seeds, and whether each difference is significant.

    found = findings({"1": {1: [Record, ...], 2: [...]}, "4": {...}}, against="1", level="cluster")

The input is the answers of each point and seed. The output is, for each level, rates, spreads over templates, and
paired differences from one point. Intervals cover both random seeds and the choice of questions (``crossed``); p values
and intervals of differences are corrected for the number of points (Holm). If a difference is not significant, the
table says so, and how large a difference is ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from markupsafe import Markup

from tunesmith.core.errors import EvalError, nearest
from tunesmith.core.types import LEVELS
from tunesmith.evals.records import LEVEL_NAMES, Record, over_wordings
from tunesmith.evals.statistics.intervals import Interval, crossed, holm
from tunesmith.evals.statistics.score_test import RATE, ScoreTest
from tunesmith.pages import plot, templates
from tunesmith.pages.plot import Bar, Line, Mark, Point, percent
from tunesmith.pages.words import Words, words

Answers = Mapping[str, Mapping[int, Sequence[Record]]]
"""Point -> seed -> the answers of its model."""
Pair = Literal["question", "example"]
"""What two points are paired on."""


@dataclass(frozen=True, slots=True)
class Found:
    """One point at one level."""

    point: str
    level: str
    rate: Interval
    each: tuple[float, ...]
    """The rate of each seed."""
    median: float
    """Of the rates of single wordings, the mean over seeds."""
    lower: float
    """A quarter of the templates scores below this; averaged over seeds."""
    upper: float
    difference: Interval | None = None
    """From the point that all are compared with; None where they share no question."""
    p: float = 1.0

    @property
    def finding(self) -> str:
        """The difference in words."""
        return self.said(words("en"))

    def said(self, t: Words) -> str:
        """The difference in the words of a language."""
        d = self.difference
        if d is None:
            return ""
        if len(self.each) < 2:
            return t("one seed is not enough to tell a difference from luck")
        if d.low <= 0 <= d.high:
            return t(
                "no significant difference; one of {n} points or more is ruled out",
                n=math.ceil(100 * max(-d.low, d.high)),
            )
        size = f"{100 * abs(d.value):.1f}"
        return t("better by {n} points", n=size) if d.value > 0 else t("worse by {n} points", n=size)


def findings(
    answers: Answers,
    *,
    against: str,
    metric: str = "exact_match",
    shots: int | None = None,
    pair: Pair = "question",
) -> list[Found]:
    """Every point at every level, newest level first, points in their order. Points with templates of their own have no
    question in common; then the scores of one ``example`` are paired."""
    sides: dict[str, dict[str, dict[tuple[int, str], Record]]] = {}
    for point, seeds in answers.items():
        for seed, records in seeds.items():
            for record in _measured(records, metric, shots, f"point {point!r}, seed {seed}"):
                sides.setdefault(record.level, {}).setdefault(point, {})[seed, record.id] = record
    found: list[Found] = []
    for level in [level for level in reversed(LEVELS) if level in sides]:
        points = {point: sides[level][point] for point in answers if point in sides[level]}
        here = [
            _found(point, level, mine, points.get(against) if point != against else None, pair)
            for point, mine in points.items()
        ]
        compared = [i for i, (_, test) in enumerate(here) if test is not None]
        corrected = holm([test for _, test in here if test is not None])
        ones = [one for one, _ in here]
        for i, verdict in zip(compared, corrected, strict=True):
            d = ones[i].difference
            assert d is not None
            ones[i] = replace(ones[i], p=verdict.p, difference=replace(d, low=verdict.low, high=verdict.high))
        found += ones
    return found


def _measured(records: Sequence[Record], metric: str, shots: int | None, whose: str) -> list[Record]:
    kinds = {r.metric for r in records}
    if metric not in kinds:
        close = nearest(metric, kinds)
        hint = f" Did you mean {close!r}?" if close else ""
        raise EvalError(f"No answer of {whose} was scored by {metric!r}.{hint} Metrics: {', '.join(sorted(kinds))}.")
    mine = [r for r in records if r.metric == metric and r.format == "instruction"]
    fewest = min(r.shots for r in mine) if shots is None else shots
    return [r for r in mine if r.shots == fewest]


def _found(
    point: str,
    level: str,
    mine: Mapping[tuple[int, str], Record],
    other: Mapping[tuple[int, str], Record] | None,
    pair: Pair,
) -> tuple[Found, ScoreTest | None]:
    by_seed: dict[int, list[Record]] = {}
    for (seed, _), record in mine.items():
        by_seed.setdefault(seed, []).append(record)
    rate, _ = crossed(
        [r.value for r in mine.values()], [r.group for r in mine.values()], [seed for seed, _ in mine], RATE
    )
    spreads = [over_wordings(records) for records in by_seed.values()]
    difference, test = None, None
    if other is not None:
        here, there = _values(mine, pair), _values(other, pair)
        both = [key for key in here if key in there]
        if both:  # at the level of what was trained on, points may be asked nothing in common
            groups = {(seed, _named(id, pair)): record.group for (seed, id), record in mine.items()}
            difference, test = crossed(
                [here[key] - there[key] for key in both], [groups[key] for key in both], [seed for seed, _ in both]
            )
    one = Found(
        point,
        level,
        rate,
        tuple(float(np.mean([r.value for r in records])) for records in by_seed.values()),
        float(np.mean([s.median for s in spreads])),
        float(np.mean([s.lower for s in spreads])),
        float(np.mean([s.upper for s in spreads])),
        difference,
    )
    return one, test


def _values(records: Mapping[tuple[int, str], Record], pair: Pair) -> dict[tuple[int, str], float]:
    """How much of each question, or of each example in all its wordings, is right."""
    found: dict[tuple[int, str], list[float]] = {}
    for (seed, id), record in records.items():
        found.setdefault((seed, _named(id, pair)), []).append(record.value)
    return {key: float(np.mean(values)) for key, values in found.items()}


def _named(id: str, pair: Pair) -> str:
    return id if pair == "question" else id.rpartition("@")[0]


# -- the page ----------------------------------------------------------------------------------------------------------


def write_page(
    folder: Path,
    question: str,
    found: Sequence[Found],
    against: str,
    axis: str,
    seeds: int,
    language: str | None = None,
) -> Path:
    """``ablation.html``: a plot and a table for each level. With an ``axis`` the points are numbers, and a curve."""
    t = words(language)
    levels = []
    for level in dict.fromkeys(one.level for one in found):
        here = [one for one in found if one.level == level]
        levels.append(
            {
                "name": t(LEVEL_NAMES[level][0]),
                "note": t(LEVEL_NAMES[level][1]),
                "plot": _curve(here, axis, t) if axis else _bars(here),
                "rows": [_row(one, t) for one in here],
            }
        )
    page = folder / "ablation.html"
    view = {"t": t, "question": question, "levels": levels, "against": against, "seeds": seeds}
    page.write_text(templates("tunesmith.evals").get_template("ablation.html").render(view), encoding="utf-8")
    return page


def _curve(found: Sequence[Found], axis: str, t: Words) -> Markup:
    def point(one: Found, y: float, *, interval: bool) -> Point:
        low, high = (one.rate.low, one.rate.high) if interval else (None, None)
        return Point(float(one.point), y, low, high, f"{one.point}: {percent(y)}")

    ordered = sorted(found, key=lambda one: float(one.point))
    curves = [
        Line("base", tuple(point(one, one.lower, interval=False) for one in ordered), t("lower quartile of templates")),
        Line("tuned", tuple(point(one, one.rate.value, interval=True) for one in ordered), t("all templates")),
    ]
    ticks = [float(one.point) for one in ordered]
    return plot.lines(curves, x_label=axis, y_range=(0.0, 1.0), y_percent=True, x_ticks=ticks, dots=True)


def _bars(found: Sequence[Found]) -> Markup:
    return plot.bars(
        [
            Bar(one.point, (Mark(one.rate.value, one.rate.low, one.rate.high, "tuned"),), "", percent(one.rate.value))
            for one in found
        ]
    )


def _row(one: Found, t: Words) -> dict[str, str]:
    d = one.difference
    return {
        "point": one.point,
        "rate": percent(one.rate.value),
        "rate_range": _range(f"{100 * one.rate.low:.0f}", f"{100 * one.rate.high:.0f}", t),
        "each": ", ".join(f"{100 * x:.0f}" for x in one.each),
        "median": percent(one.median),
        "median_range": _range(f"{100 * one.lower:.0f}", f"{100 * one.upper:.0f}", t),
        "difference": f"{100 * d.value:+.1f}" if d else "",
        "difference_range": _range(f"{100 * d.low:+.1f}", f"{100 * d.high:+.1f}", t) if d else "",
        "p": ("< 0.0001" if one.p < 1e-4 else f"{one.p:.2g}") if d else "",
        "finding": one.said(t),
        "questions": f"{one.rate.n:,}",
    }


def _range(low: str, high: str, t: Words) -> str:
    return t("{low} to {high}", low=low, high=high)
