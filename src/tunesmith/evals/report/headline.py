"""The sentence at the top of a report: what was asked in this run, and how much of it the model gets right.

It speaks of the most that was held out, by the names of the tasks or clusters that were asked, and in the metric that
most of these questions have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunesmith.evals.records import LESS_IS_BETTER, Comparison, Record
from tunesmith.evals.report.data import ReportData
from tunesmith.evals.statistics.intervals import Interval
from tunesmith.pages.plot import percent

NAMED = 3
"""So many names stand in a sentence; of more it says how many."""
_NOT_MAIN = frozenset({"options", "cloze", "refusal", "answered", "form"})
"""Metrics that have a section of their own."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The parts of the sentences."""

    after: str
    """As in: the model ``gets`` ``85 %`` `` right`` ``on tasks of geography``; before, it ``got`` ``3 %``."""
    before: str
    verb: str
    did: str
    rest: str
    what: str
    n: int
    about: str
    """`` about 40 different things``, where several questions are about one."""
    difference: str
    difference_range: str
    unit: str
    better: int
    worse: int
    p: str


def headline(data: ReportData, comparisons: Sequence[Comparison]) -> Headline | None:
    """The claim of the page, or None where nothing was compared."""
    plain = [c for c in comparisons if (c.format, c.shots) == ("instruction", 0) and c.metric not in _NOT_MAIN]
    for level in ("cluster", "task", "instance", "wording", "seen"):
        here = [c for c in plain if c.level == level]
        if here:
            found = max(here, key=lambda c: (c.metric == "exact_match", c.after.n))
            rows = [r for r in data.records if _of(r, data.tuned, found)]
            return _said(found, _what(level, rows))
    return None


def figure(metric: str, value: float) -> str:
    """A value as a person reads it: ``85 %``, or ``0.81 bits`` where it is no share."""
    return f"{value:.2f} bits" if metric in LESS_IS_BETTER else percent(value)


def span(metric: str, got: Interval) -> str:
    """Its interval."""
    if metric in LESS_IS_BETTER:
        return f"{got.low:.2f}–{got.high:.2f}"
    return f"{100 * got.low:.0f}–{100 * got.high:.0f} %"


def points(metric: str, value: float) -> str:
    """A difference, with its sign."""
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{abs(value):.2f}" if metric in LESS_IS_BETTER else f"{sign}{abs(100 * value):.0f}"


def p_value(p: float) -> str:
    """Short, and never 0."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def _of(record: Record, model: str, found: Comparison) -> bool:
    key = (record.model, record.level, record.format, record.shots, record.metric)
    return key == (model, found.level, found.format, found.shots, found.metric)


def _said(found: Comparison, what: str) -> Headline:
    metric, d = found.metric, found.difference
    if metric == "exact_match":
        verb, did, rest = "gets", "got", " right"
    elif metric in LESS_IS_BETTER:
        verb, did, rest = "needs", "needed", " for each byte of the given answers"
    else:
        verb, did, rest = "reaches", "reached", f" by {metric}"
    several = found.after.groups < found.after.n
    return Headline(
        after=figure(metric, found.after.value),
        before=figure(metric, found.before.value),
        verb=verb,
        did=did,
        rest=rest,
        what=what,
        n=found.after.n,
        about=f" about {found.after.groups:,} different things" if several else "",
        difference=f"{points(metric, d.value)} {'bits' if metric in LESS_IS_BETTER else 'points'}",
        difference_range=f"{points(metric, d.low)} to {points(metric, d.high)}",
        unit="groups of questions" if several else "questions",
        better=d.better,
        worse=d.worse,
        p=p_value(d.p),
    )


def _what(level: str, rows: Sequence[Record]) -> str:
    tasks, clusters = {r.task for r in rows}, {r.cluster for r in rows}
    match level:
        case "cluster":
            if len(clusters) > NAMED:
                return f"on tasks of {len(clusters)} whole clusters that it never trained on"
            return f"on tasks of {_names(clusters)}, of which it trained on none"
        case "task":
            if len(tasks) > NAMED:
                return f"on {len(tasks)} tasks that it never trained on"
            return f"on {_names(tasks)}, which it never trained on"
        case "instance":
            return f"on rows of {_names_or_count(tasks)} that were held out"
        case "wording":
            return f"on {_names_or_count(tasks)}, asked in words that it never saw"
        case _:
            return f"on rows of {_names_or_count(tasks)} that it was trained on"


def _names_or_count(tasks: Iterable[str]) -> str:
    every = sorted(tasks)
    return f"{len(every)} tasks" if len(every) > NAMED else _names(every)


def _names(names: Iterable[str]) -> str:
    every = sorted(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
