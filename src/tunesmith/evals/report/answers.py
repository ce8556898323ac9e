"""The sections of a report that are made from the answers of its models, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tunesmith.core.types import LEVELS, Score
from tunesmith.evals.corpus.figures import Figure
from tunesmith.evals.leaked import split
from tunesmith.evals.records import LESS_IS_BETTER, LEVEL_NAMES, TEXT_FORMAT, Comparison, Record, question_id, rate
from tunesmith.evals.report.data import ReportData
from tunesmith.evals.report.headline import figure, p_value, points, significant, span
from tunesmith.evals.statistics.intervals import Interval
from tunesmith.pages import plot
from tunesmith.pages.plot import Bar, Mark, percent
from tunesmith.pages.words import Words

FORMAT_NAMES = {
    "none": ("No instruction", "the bare input"),
    "name": ("Data-set name", "the input after the name of its set"),
    "instruction": ("Instructions", "the input in natural words"),
}


def _main(comparisons: Sequence[Comparison], metric: str = "exact_match") -> dict[str, Comparison]:
    """The comparisons that the page is about: by instruction, with no example shown; by level."""
    return {c.level: c for c in comparisons if (c.format, c.shots, c.metric) == ("instruction", 0, metric)}


def levels(data: ReportData, comparisons: Sequence[Comparison], t: Words) -> dict[str, Any] | None:
    """A row a level, from the most that was held out to nothing that was."""
    main = _main(comparisons)
    if not main:
        return None
    rows, table = [], []
    for level in reversed(LEVELS):
        if level not in main:
            continue
        c = main[level]
        d = c.difference
        name, note = (t(text) for text in LEVEL_NAMES[level])
        reading = f"{percent(c.before.value)} → {percent(c.after.value)}"
        moved = t("{n} points", n=_points(d.value)) if significant(d) else t("not significant")
        marks = (_mark(c.before, "base", data.base, t), _mark(c.after, "tuned", data.tuned, t))
        rows.append(Bar(name, marks, note, reading, moved))
        table.append(
            {
                "level": name,
                "base": percent(c.before.value),
                "base_range": _range(c.before),
                "tuned": percent(c.after.value),
                "tuned_range": _range(c.after),
                "difference": _points(d.value),
                "difference_range": t("{low} to {high}", low=_points(d.low), high=_points(d.high)),
                "moved": f"{d.better} ↑ {d.worse} ↓",
                "moved_range": t("of {n}", n=c.after.groups),
                "p": p_value(d.p),
                "n": c.after.n,
                **_leaked(data, level, t),
            }
        )
    return {"plot": plot.dots(rows), "table": table}


def _leaked(data: ReportData, level: str, t: Words) -> dict[str, str]:
    """How many questions of a level the training rows give away, and the rate without them."""
    sides = split(_rows(data.records, data.tuned, level, "instruction", 0, "exact_match"))
    if sides is None:
        return {"leaked": "–"}
    clean, leaked = sides
    without = t("{rate} without", rate=percent(rate(clean).value)) if leaked and clean else ""
    return {"leaked": str(len(leaked)), "leaked_range": without}


def ablation(data: ReportData, t: Words) -> dict[str, Any] | None:
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
            name, note = (t.part(text) for text in FORMAT_NAMES.get(format, (format, "")))
            rates.append((name, got))
            own = _rows(data.records, names[format], level, format, 0, "exact_match") if format != "instruction" else []
            series = "tuned" if format == "instruction" else "other"
            marks = [_mark(got, series, t("tuned on {format}", format=format), t)]
            if own:
                note += t("; asked in that way itself: {rate}", rate=percent(rate(own).value))
            bars.append(Bar(name, tuple(marks), note, percent(got.value)))
        if len(bars) > 1 and level in ("cluster", "task"):
            panels.append({"name": t(LEVEL_NAMES[level][0]), "plot": plot.bars(bars), "finding": _ordered(rates, t)})
    return {"panels": panels} if panels else None


def _ordered(rates: Sequence[tuple[str, Interval]], t: Words) -> str:
    """What the intervals allow to be said, and no more."""
    if all(a.high < b.low for (_, a), (_, b) in pairwise(rates)):
        order = " < ".join(name for name, _ in rates)
        return t("{order}: each better than the one before, with intervals apart.", order=order)
    said = []
    for (low_name, a), (high_name, b) in pairwise(rates):
        if a.high < b.low:
            text = "“{one}” is above “{other}”, and their intervals are apart"
        elif b.high < a.low:
            text = "“{one}” is below “{other}”, and their intervals are apart"
        else:
            text = "“{one}” and “{other}” are not significantly different: their intervals overlap"
        said.append(t(text, one=high_name, other=low_name))
    return t("; ").join(said) + t(".")


def ways(comparisons: Sequence[Comparison], t: Words) -> dict[str, Any] | None:
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
    here = [level for level in reversed(LEVELS) if any((level, *key) in by for key in wanted)]
    rows = []
    for format, shots, metric in wanted:
        row: dict[str, Any] = {"label": way(format, shots, metric, t)}
        for level in here:
            found = by.get((level, format, shots, metric))
            row[level] = "–" if found is None else f"{percent(found.before.value)} → {percent(found.after.value)}"
            row[f"{level}_range"] = "" if found is None else _range(found.after)
        rows.append(row)
    return {"columns": [(level, t(LEVEL_NAMES[level][0]), "n") for level in here], "rows": rows}


def way(format: str, shots: int, metric: str, t: Words) -> str:
    """How questions were asked, in words."""
    how = t("picks the likeliest option") if metric == "options" else t("answers freely")
    shown = t.count(shots, "{n} example", "{n} examples") if shots else t("no example")
    asked = "" if format == "instruction" else t(", asked by {format}", format=format)
    return f"{how}{t(', ')}{shown}{asked}"


def safety(data: ReportData, comparisons: Sequence[Comparison], t: Words) -> dict[str, Any] | None:
    found: list[tuple[str, str, Interval, Interval]] = []
    for metric, name, note in (
        ("refusal", "Harmful requests", "refused"),
        ("answered", "Harmless look-alikes", "answered, not refused"),
    ):
        before, after = (_pooled(data.records, m, metric) for m in (data.base, data.tuned))
        if before is not None and after is not None:
            found.append((t(name), t(note), before, after))
    cloze = _cloze(comparisons)
    if cloze is not None:
        found.append((t("Knowledge"), t("statements of the plain text continued correctly"), cloze.before, cloze.after))
    rows = [
        Bar(
            name,
            (_mark(before, "base", data.base, t), _mark(after, "tuned", data.tuned, t)),
            note,
            f"{percent(before.value)} → {percent(after.value)}",
        )
        for name, note, before, after in found
    ]
    return {"plot": plot.dots(rows)} if rows else None


def samples(data: ReportData, t: Words) -> dict[str, Any] | None:
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
        counts.append({"level": level, "name": t(LEVEL_NAMES[level][0]), "shown": len(picked), "wrong": wrong})
        for before, after in picked:
            shown.append(
                {
                    "level": level,
                    "level_name": t(LEVEL_NAMES[level][0]),
                    "id": question_id(after),
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


def tasks(data: ReportData, t: Words) -> list[dict[str, Any]]:
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
                "level_name": t.part(LEVEL_NAMES.get(level, (level, ""))[0]),
                "task": task,
                "task_range": sides[data.tuned][0].cluster,
                "metric": metric,
                "before": figure(metric, before.value),
                "before_range": span(metric, before),
                "after": figure(metric, after.value),
                "after_range": span(metric, after),
                "value": after.value,
                "n": after.n,
            }
        )
    order = {level: i for i, level in enumerate(reversed(LEVELS))}
    out.sort(key=lambda row: (order.get(row["level"], 9), row["value"], row["task"]))  # type: ignore[call-overload]
    return out


def every_score(
    data: ReportData, found: Sequence[Score], t: Words
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """All scores: those of base and tuned in one row, and those of the ablation's models."""
    pairs: dict[tuple[str, str, int, str], dict[str, str]] = {}
    others = []
    for score in found:
        said = {
            "level": t.part(LEVEL_NAMES.get(score.level, (score.level, ""))[0]),
            "format": score.format
            + (t(", ") + t.count(score.shots, "{n} example", "{n} examples") if score.shots else ""),
            "metric": score.metric,
            "n": str(score.n),
        }
        value, range = figure(score.metric, score.value), _span(score.metric, score.low, score.high)
        if score.model in (data.base, data.tuned):
            side = "base" if score.model == data.base else "tuned"
            row = pairs.setdefault((score.level, score.format, score.shots, score.metric), {"base": "", "tuned": ""})
            row |= {**said, side: value, f"{side}_range": range}
        else:
            others.append({"model": score.model, **said, "value": value, "value_range": range})
    return list(pairs.values()), others


def together(figure: Figure, t: Words) -> dict[str, str]:
    scale = 1 / figure.most
    return {
        "name": figure.name,
        "task": figure.task or t("all tasks"),
        "model": figure.model,
        "level": t.part(LEVEL_NAMES.get(figure.level, (figure.level, ""))[0]),
        "format": figure.format
        + (t(", ") + t.count(figure.shots, "{n} example", "{n} examples") if figure.shots else ""),
        "metric": figure.metric,
        "value": percent(scale * figure.value),
        "value_range": f"{percent(scale * figure.low)} – {percent(scale * figure.high)}",
        "n": str(figure.n),
    }


def _span(metric: str, low: float, high: float) -> str:
    return f"{figure(metric, low)} – {figure(metric, high)}"


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


def _mark(got: Interval, series: str, name: str, t: Words) -> Mark:
    values = {"name": name, "rate": percent(got.value), "range": _range(got), "n": f"{got.n:,}"}
    title = t("{name}: {rate}, 95 % interval {range}, {n} questions", **values)
    return Mark(got.value, got.low, got.high, series, title)


def _range(got: Interval) -> str:
    return f"{100 * got.low:.0f}–{100 * got.high:.0f} %"


def _points(value: float) -> str:
    return points("exact_match", value)
