"""The sentence at the top of a report: what tuning gained in this run, and how sure that is.

It speaks of the most that was held out, by the names of the tasks or clusters that were asked, and in the metric that
most of these questions have. A difference is called a gain or a loss only where it is significant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.evals.records import LESS_IS_BETTER, Comparison, Record
from tunesmith.evals.report.data import ReportData
from tunesmith.evals.statistics.intervals import Difference, Interval
from tunesmith.pages.plot import percent
from tunesmith.pages.words import Words

NAMED = 3
"""So many names stand in a sentence; of more it says how many."""
_NOT_MAIN = frozenset({"options", "cloze", "refusal", "answered", "form"})
"""Metrics that have a section of their own."""
SURE = 0.05
"""A difference is significant below this p value, if its interval is on one side of 0 too."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What the first screen says."""

    claim: Markup
    """What was gained and how sure that is, in one sentence."""
    basis: str
    """The questions behind it."""


def headline(data: ReportData, comparisons: Sequence[Comparison], t: Words) -> Headline | None:
    """The claim of the page, or None where nothing was compared."""
    plain = [c for c in comparisons if (c.format, c.shots) == ("instruction", 0) and c.metric not in _NOT_MAIN]
    for level in ("cluster", "task", "instance", "wording", "seen"):
        here = [c for c in plain if c.level == level]
        if here:
            found = max(here, key=lambda c: (c.metric == "exact_match", c.after.n))
            rows = [r for r in data.records if _of(r, data.tuned, found)]
            return Headline(_claim(found, _what(level, rows, t), t), _basis(found, t))
    return None


def significant(d: Difference) -> bool:
    """Whether the data say that there is a difference."""
    return d.p < SURE and (d.low > 0 or d.high < 0)


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


def _claim(found: Comparison, what: str, t: Words) -> Markup:
    metric, d = found.metric, found.difference
    if metric == "exact_match":
        subject = t("the share of right answers")
    elif metric in LESS_IS_BETTER:
        subject = t("the loss in bits per byte")
    else:
        subject = t("the score {metric}", metric=metric)
    if not significant(d):
        said = "Tuning made no significant difference to {subject} {what}: {before} before, {after} after"
    elif d.value > 0:
        said = "Tuning raised {subject} {what} from {before} to {after}"
    else:
        said = "Tuning lowered {subject} {what} from {before} to {after}"
    values = {"subject": subject, "what": what, "before": figure(metric, found.before.value)}
    first = t.html(said, **values, after=Markup("<em>{}</em>").format(figure(metric, found.after.value)))
    unit = "{n} bits" if metric in LESS_IS_BETTER else "{n} points"
    sure = t(
        ": {difference}, with 95 % confidence between {low} and {high}.",
        difference=t(unit, n=points(metric, d.value)).replace(" ", "\u00a0"),
        low=points(metric, d.low),
        high=points(metric, d.high),
    )
    return first + Markup('<span class="was">{}</span>').format(sure)


def _basis(found: Comparison, t: Words) -> str:
    d, several = found.difference, found.after.groups < found.after.n
    asked = t.count(
        found.after.n, "Both models were asked {n} question", "Both models were asked the same {n} questions"
    )
    about = t(" about {n} different things", n=f"{found.after.groups:,}") if several else ""
    unit = t("groups of questions") if several else t("questions")
    moved = t(
        "{better} {unit} improved and {worse} got worse (p = {p}).",
        better=d.better if found.metric not in LESS_IS_BETTER else d.worse,
        worse=d.worse if found.metric not in LESS_IS_BETTER else d.better,
        unit=unit,
        p=p_value(d.p),
    ).replace("p = <", "p <")
    return asked + about + t(". ") + moved


def _what(level: str, rows: Sequence[Record], t: Words) -> str:
    tasks, clusters = {r.task for r in rows}, {r.cluster for r in rows}
    match level:
        case "cluster" if len(clusters) > NAMED:
            return t("on tasks of {n} whole clusters that it never trained on", n=len(clusters))
        case "cluster":
            return t("on tasks of {names}, of which it trained on none,", names=t.names(sorted(clusters)))
        case "task" if len(tasks) > NAMED:
            return t("on {n} tasks that it never trained on", n=len(tasks))
        case "task":
            return t("on {names}, which it never trained on,", names=t.names(sorted(tasks)))
        case "instance":
            return t("on held-out rows of {names}", names=_names_or_count(tasks, t))
        case "wording":
            return t("on {names}, asked in words that it never saw,", names=_names_or_count(tasks, t))
        case _:
            return t("on rows of {names} that it was trained on", names=_names_or_count(tasks, t))


def _names_or_count(tasks: Iterable[str], t: Words) -> str:
    every = sorted(tasks)
    return t("{n} tasks", n=len(every)) if len(every) > NAMED else t.names(every)
