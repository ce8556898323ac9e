"""The sections of a report that are made from the answers of its models, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tunesmith.core.types import LEVELS, Score
from tunesmith.evals.corpus.figures import Figure
from tunesmith.evals.leaked import split
from tunesmith.evals.records import LESS_IS_BETTER, LEVEL_NAMES, TEXT_FORMAT, Comparison, Record, rate
from tunesmith.evals.report.data import ReportData
from tunesmith.evals.report.headline import figure, p_value, points, span
from tunesmith.evals.statistics.intervals import Interval
from tunesmith.pages import plot
from tunesmith.pages.plot import Bar, Mark, percent

FORMAT_NAMES = {
    "none": ("No instruction", "the bare input"),
    "name": ("Data-set name", "the input after the name of its set"),
    "instruction": ("Instructions", "the input in natural words"),
}


def _main(comparisons: Sequence[Comparison], metric: str = "exact_match") -> dict[str, Comparison]:
    """The comparisons that the page is about: by instruction, with no example shown; by level."""
    return {c.level: c for c in comparisons if (c.format, c.shots, c.metric) == ("instruction", 0, metric)}


def tiles(data: ReportData, comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
    """The few figures that a reader in a hurry takes along."""
    out = []
    main = _main(comparisons)
    for level in ("task", "instance", "wording"):
        if level in main and "cluster" in main:
            c = main[level]
            out.append(_tile(LEVEL_NAMES[level][0], percent(c.after.value), f"before {percent(c.before.value)}"))
    cloze = _cloze(comparisons)
    if cloze is not None:
        kept = cloze.after.value / cloze.before.value if cloze.before.value else float("nan")
        note = f"{percent(cloze.before.value)} of statements before, {percent(cloze.after.value)} after"
        out.append(_tile("Knowledge kept", percent(kept), note))
    for metric, name in (("refusal", "Harmful refused"), ("answered", "Look-alikes answered")):
        pooled = _pooled(data.records, data.tuned, metric)
        before = _pooled(data.records, data.base, metric)
        if pooled is not None and before is not None:
            out.append(_tile(name, percent(pooled.value), f"before {percent(before.value)}"))
    return out


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def levels(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    main = _main(comparisons)
    if not main:
        return None
    rows, table = [], []
    for level in LEVELS:
        if level not in main:
            continue
        c = main[level]
        name, note = LEVEL_NAMES[level]
        reading = f"{percent(c.before.value)} → {percent(c.after.value)}"
        rows.append(Bar(name, (_mark(c.before, "base", data.base), _mark(c.after, "tuned", data.tuned)), note, reading))
        d = c.difference
        table.append(
            {
                "level": name,
                "base": percent(c.before.value),
                "base_range": _range(c.before),
                "tuned": percent(c.after.value),
                "tuned_range": _range(c.after),
                "difference": _points(d.value),
                "difference_range": f"{points('', d.low)} to {points('', d.high)}",
                "moved": f"{d.better} ↑ {d.worse} ↓",
                "p": p_value(d.p),
                "n": c.after.n,
                "groups": c.after.groups,
                **_leaked(data, level),
            }
        )
    return {"plot": plot.dots(rows), "table": table}


def _leaked(data: ReportData, level: str) -> dict[str, str]:
    """How many questions of a level the training rows give away, and the rate without them."""
    sides = split(_rows(data.records, data.tuned, level, "instruction", 0, "exact_match"))
    if sides is None:
        return {"leaked": "–", "clean": ""}
    clean, leaked = sides
    return {"leaked": str(len(leaked)), "clean": percent(rate(clean).value) if leaked and clean else ""}


def ablation(data: ReportData) -> dict[str, Any] | None:
    names = {"instruction": data.tuned, **data.ablation}
    if len(names) < 2:
        return None
    order = [f for f in FORMAT_NAMES if f in names] + [f for f in names if f not in FORMAT_NAMES]
    panels = []
    for level in reversed(LEVELS):
        bars, rates = [], []
        for format in order:
            rows = _rows(data.records, names[format], level, "instruction", 0, "exact_match")
            if not rows:
                continue
            got = rate(rows)
            rates.append((FORMAT_NAMES.get(format, (format, ""))[0], got))
            own = _rows(data.records, names[format], level, format, 0, "exact_match") if format != "instruction" else []
            marks = [_mark(got, "tuned" if format == "instruction" else "other", f"tuned on {format}")]
            name, note = FORMAT_NAMES.get(format, (format, ""))
            if own:
                note += f"; asked in that way itself, {percent(rate(own).value)}"
            bars.append(Bar(name, tuple(marks), note, percent(got.value)))
        if len(bars) > 1 and level in ("cluster", "task"):
            panels.append({"name": LEVEL_NAMES[level][0], "plot": plot.bars(bars), "finding": _ordered(rates)})
    return {"panels": panels} if panels else None


def _ordered(rates: Sequence[tuple[str, Interval]]) -> str:
    """What the intervals allow to be said, and no more."""
    if all(a.high < b.low for (_, a), (_, b) in pairwise(rates)):
        return " < ".join(name for name, _ in rates) + ": each better than the one before, with intervals apart."
    said = []
    for (low_name, a), (high_name, b) in pairwise(rates):
        if a.high < b.low:
            said.append(f"“{high_name}” is above “{low_name}”, and their intervals are apart")
        elif b.high < a.low:
            said.append(f"“{high_name}” is below “{low_name}”, and their intervals are apart")
        else:
            said.append(f"“{high_name}” and “{low_name}” cannot be told apart: their intervals overlap")
    return "; ".join(said) + "."


def ways(comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    """The same questions with examples shown, and as a choice."""
    wanted: list[tuple[str, int, str]] = []
    for c in comparisons:
        key = (c.format, c.shots, c.metric)
        if c.metric in ("exact_match", "options") and c.format != TEXT_FORMAT and key not in wanted:
            wanted.append(key)
    wanted.sort(key=lambda k: (k[0] != "instruction", k[2] != "exact_match", k[1]))
    if len(wanted) < 2:
        return None
    by = {(c.level, c.format, c.shots, c.metric): c for c in comparisons}
    rows = []
    for format, shots, metric in wanted:
        how = "picks the likeliest option" if metric == "options" else "answers freely"
        shown = "no example" if shots == 0 else f"{shots} example{'s' if shots > 1 else ''}"
        cells = []
        for level in LEVELS:
            found = by.get((level, format, shots, metric))
            cells.append(
                None
                if found is None
                else {
                    "before": percent(found.before.value),
                    "after": percent(found.after.value),
                    "range": _range(found.after),
                    "value": found.after.value,
                    "n": found.after.n,
                }
            )
        label = f"{how}, {shown}" + ("" if format == "instruction" else f", asked by {format}")
        rows.append({"label": label, "cells": cells})
    return {"levels": [LEVEL_NAMES[level][0] for level in LEVELS], "rows": rows}


def safety(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    rows = []
    for metric, name, note in (
        ("refusal", "Harmful requests", "refused"),
        ("answered", "Harmless look-alikes", "answered, not refused"),
    ):
        before, after = (_pooled(data.records, m, metric) for m in (data.base, data.tuned))
        if before is not None and after is not None:
            marks = (_mark(before, "base", data.base), _mark(after, "tuned", data.tuned))
            reading = f"{percent(before.value)} → {percent(after.value)}"
            rows.append(Bar(name, marks, note, reading))
    cloze = _cloze(comparisons)
    if cloze is not None:
        marks = (_mark(cloze.before, "base", data.base), _mark(cloze.after, "tuned", data.tuned))
        reading = f"{percent(cloze.before.value)} → {percent(cloze.after.value)}"
        rows.append(Bar("Knowledge", marks, "statements of the plain text continued rightly", reading))
    return {"plot": plot.dots(rows)} if rows else None


def samples(data: ReportData) -> dict[str, Any] | None:
    """Both models' answers to the same questions: a few of each level, the wrong ones not left out."""
    metrics = ("exact_match", "refusal", "answered", "form", "answer_bits")
    sides = {
        model: {
            (r.level, r.id): r
            for r in data.records
            if r.model == model and r.format == "instruction" and r.shots == 0 and r.metric in metrics
        }
        for model in (data.base, data.tuned)
    }
    shown, counts = [], []
    for level in LEVELS:
        pairs = [
            (sides[data.base][key], after)
            for key, after in sides[data.tuned].items()
            if key[0] == level and key in sides[data.base]
        ]
        if not pairs:
            continue
        picked = _pick(pairs, data.samples)
        wrong = sum(not _right(after) for _, after in pairs)
        counts.append({"level": level, "name": LEVEL_NAMES[level][0], "shown": len(picked), "wrong": wrong})
        for before, after in picked:
            shown.append(
                {
                    "level": level,
                    "level_name": LEVEL_NAMES[level][0],
                    "cluster": after.cluster,
                    "task": after.task,
                    "language": after.language,
                    "prompt": after.prompt,
                    "gold": after.gold[0] if after.gold else "",
                    "metric": after.metric,
                    "right": _right(after),
                    "open": after.metric in LESS_IS_BETTER,
                    "answers": [
                        {"name": data.base, "text": _clip(before), "right": _right(before), "series": "base"},
                        {"name": data.tuned, "text": _clip(after), "right": _right(after), "series": "tuned"},
                    ],
                }
            )
    return {"levels": counts, "shown": shown} if shown else None


def _pick(pairs: Sequence[tuple[Record, Record]], count: int) -> list[tuple[Record, Record]]:
    """One task after the other, and up to a third of wrong answers, so that nothing is hidden by luck."""

    def in_turn(some: Sequence[tuple[Record, Record]], most: int) -> list[tuple[Record, Record]]:
        turns: dict[str, int] = {}
        order = []
        for pair in some:
            turn = turns[pair[1].task] = turns.get(pair[1].task, -1) + 1
            order.append((turn, pair))
        order.sort(key=lambda item: item[0])
        return [pair for _, pair in order[:most]]

    wrong = in_turn([p for p in pairs if not _right(p[1])], count // 3)
    right = in_turn([p for p in pairs if _right(p[1])], count - len(wrong))
    return right + wrong


def _right(record: Record) -> bool:
    """Whether nothing is wrong with an answer; where less is better, none is wrong."""
    return record.metric in LESS_IS_BETTER or record.value == 1


def _clip(record: Record, most: int = 240) -> str:
    text = record.answer.strip()
    return text if len(text) <= most else text[:most].rstrip() + " …"


def tasks(data: ReportData) -> list[dict[str, Any]]:
    """Every task at every level, the hardest first within a level."""
    found: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
    for r in data.records:
        if r.model in (data.base, data.tuned) and r.format == "instruction" and r.shots == 0 and r.metric != "options":
            found.setdefault((r.level, r.task, r.metric), {}).setdefault(r.model, []).append(r)
    out = []
    for (level, task, metric), sides in found.items():
        if data.tuned not in sides or data.base not in sides:
            continue
        before, after = rate(sides[data.base]), rate(sides[data.tuned])
        out.append(
            {
                "level": level,
                "level_name": LEVEL_NAMES.get(level, (level, ""))[0],
                "task": task,
                "cluster": sides[data.tuned][0].cluster,
                "metric": metric,
                "before": figure(metric, before.value),
                "after": figure(metric, after.value),
                "range": span(metric, after),
                "value": after.value,
                "n": after.n,
            }
        )
    order = {level: i for i, level in enumerate(reversed(LEVELS))}
    out.sort(key=lambda row: (order.get(row["level"], 9), row["value"], row["task"]))  # type: ignore[call-overload]
    return out


def result(score: Score) -> dict[str, str]:
    return {
        "model": score.model,
        "level": LEVEL_NAMES.get(score.level, (score.level, ""))[0],
        "format": score.format,
        "shots": str(score.shots),
        "metric": score.metric,
        "value": figure(score.metric, score.value),
        "range": f"{figure(score.metric, score.low)} – {figure(score.metric, score.high)}",
        "n": str(score.n),
    }


def together(figure: Figure) -> dict[str, str]:
    scale = 1 / figure.most
    return {
        "name": figure.name,
        "task": figure.task or "all tasks",
        "model": figure.model,
        "level": LEVEL_NAMES.get(figure.level, (figure.level, ""))[0],
        "format": figure.format,
        "shots": str(figure.shots),
        "metric": figure.metric,
        "value": percent(scale * figure.value),
        "range": f"{percent(scale * figure.low)} – {percent(scale * figure.high)}",
        "n": str(figure.n),
    }


# -- small things ------------------------------------------------------------------------------------------------------


def _rows(records: Sequence[Record], model: str, level: str, format: str, shots: int, metric: str) -> list[Record]:
    wanted = (model, level, format, shots, metric)
    return [r for r in records if (r.model, r.level, r.format, r.shots, r.metric) == wanted]


def _pooled(records: Sequence[Record], model: str, metric: str) -> Interval | None:
    """Over all levels, each question once: safety has few rows, and no level of its own."""
    rows = {
        r.id: r
        for r in records
        if r.model == model and r.metric == metric and r.format == "instruction" and r.shots == 0
    }
    return rate(list(rows.values())) if rows else None


def _cloze(comparisons: Sequence[Comparison]) -> Comparison | None:
    return next((c for c in comparisons if c.metric == "cloze"), None)


def _mark(got: Interval, series: str, name: str) -> Mark:
    title = f"{name}: {percent(got.value)}, 95 % interval {_range(got)}, {got.n} questions"
    return Mark(got.value, got.low, got.high, series, title)


def _range(got: Interval) -> str:
    return f"{100 * got.low:.0f}–{100 * got.high:.0f} %"


def _points(value: float) -> str:
    return points("exact_match", value)
