"""One page that says how far a tuned model generalises, and the same figures as JSON.

In goes a ``ReportData`` of plain values; whatever a run does not have is left out, and the page then has no such
section. Out come, in one folder:

    report.html    one file with everything in it: no script is needed, nothing is loaded
    report.json    {"results": [Score ...], "run": {...}}

The page draws its conclusions from the figures alone: it says "apart" only where intervals are apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvalError
from tunesmith.evals.audited import split
from tunesmith.evals.mask import Drawn, mask_fragment
from tunesmith.evals.records import LEVEL_NAMES, TEXT_FORMAT, Comparison, Record, compare, rate, scores
from tunesmith.evals.stats import Interval
from tunesmith.pages import plot, templates
from tunesmith.pages.plot import Bar, Line, Mark, Point, percent
from tunesmith.types import LEVELS

if TYPE_CHECKING:
    from tunesmith.data.split import SplitProof

FORMAT_NAMES = {
    "none": ("No instruction", "the bare input"),
    "name": ("Data-set name", "the input after the name of its set"),
    "instruction": ("Instructions", "the input in natural words"),
}


@dataclass(frozen=True, slots=True)
class LossCurve:
    """What ``metrics.jsonl`` of one training stage says."""

    name: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]

    @classmethod
    def load(cls, name: str, path: Path | str) -> LossCurve:
        """Read ``step`` and ``loss`` of every line; an unfinished last line is left out."""
        steps, losses = [], []
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            try:
                value = json.loads(line)
                step, loss = int(value["step"]), float(value["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            steps.append(step)
            losses.append(loss)
        return cls(name, tuple(steps), tuple(losses))


@dataclass(frozen=True, slots=True)
class MixtureRow:
    """One source of training rows."""

    name: str
    rows: int
    asked: float
    """The share of rows that it should have, from 0 to 1."""
    realised: float
    epochs: float | None = None


@dataclass(frozen=True, slots=True)
class HeldOutView:
    """What was held out, by id, and how many rows stand on each side."""

    clusters: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows of ``train`` and of each level."""
    proof: str = ""
    """The file by which anybody can check this."""

    @classmethod
    def of(cls, proof: SplitProof, file: str = "") -> HeldOutView:
        """What the proof of a build says, by the rows themselves and not by the wish alone."""
        return cls(
            clusters=tuple(sorted({row.cluster for row in proof.of("cluster")})),
            tasks=tuple(sorted({row.task for row in proof.of("task")})),
            wordings=tuple(sorted({row.template for row in proof.of("wording")})),
            groups=tuple(sorted(proof.groups)),
            counts=proof.counts,
            proof=file,
        )


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report can show."""

    title: str
    records: Sequence[Record]
    """Every answer of every model; figures are made from these and nothing else."""
    base: str = "base"
    """The model before tuning, by its name in the records."""
    tuned: str = "tuned"
    ablation: Mapping[str, str] = field(default_factory=dict)
    """Format that a model was tuned on -> its name in the records. All are asked by instruction."""
    losses: Sequence[LossCurve] = ()
    masks: Sequence[Drawn] = ()
    held_out: HeldOutView | None = None
    ledger: Mapping[str, Any] | None = None
    """As ``data.Ledger.to_json()`` gives it."""
    mixture: Sequence[MixtureRow] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    """As ``run.json`` of a recipe's run has it: machine, stages, settings, the recipe's text."""
    answers: str = ""
    """Where the page of all answers is, from this one."""
    samples: int = 8
    """Sample answers of each level."""


def write_report(out_dir: Path | str, data: ReportData) -> Path:
    """Write ``report.html`` and ``report.json``; gives the page's path."""
    names = {record.model for record in data.records}
    for model in (data.base, data.tuned, *data.ablation.values()):
        if model not in names:
            raise EvalError(
                f"There are no answers of model {model!r}. Models with answers: {', '.join(sorted(names))}."
            )
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(data.records, data.base, data.tuned)
    _write(out / "report.json", json.dumps(report_json(data, comparisons), indent=1, ensure_ascii=False) + "\n")
    page = out / "report.html"
    _write(page, report_html(data, comparisons))
    return page


def report_json(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The figures for programs: every score, and under ``run`` how they came about."""
    paired = [
        {
            "model": data.tuned,
            "against": data.base,
            "level": c.level,
            "format": c.format,
            "shots": c.shots,
            "metric": c.metric,
            **asdict(c.difference),
        }
        for c in comparisons
    ]
    return {"results": [asdict(score) for score in scores(data.records)], "run": {**data.run, "paired": paired}}


def report_html(data: ReportData, comparisons: Sequence[Comparison]) -> str:
    """The page."""
    view = {
        "title": data.title,
        "headline": _headline(data, comparisons),
        "tiles": _tiles(data, comparisons),
        "levels": _levels(data, comparisons),
        "ablation": _ablation(data),
        "ways": _ways(comparisons),
        "safety": _safety(data, comparisons),
        "samples": _samples(data),
        "masks": [_mask(m) for m in data.masks],
        "held_out": _held_out(data.held_out),
        "ledger": _ledger(data.ledger),
        "mixture": _mixture(data.mixture),
        "losses": [_loss(c) for c in data.losses if c.steps],
        "tasks": _tasks(data),
        "results": [_result(s) for s in scores(data.records)],
        "run": _run(data.run),
        "base": data.base,
        "tuned": data.tuned,
        "answers": data.answers,
    }
    return templates("tunesmith.evals").get_template("report.html").render(view)


# -- sections, in the order of the page --------------------------------------------------------------------------------


def _main(comparisons: Sequence[Comparison], metric: str = "exact_match") -> dict[str, Comparison]:
    """The comparisons that the page is about: by instruction, with no example shown; by level."""
    return {c.level: c for c in comparisons if (c.format, c.shots, c.metric) == ("instruction", 0, metric)}


def _headline(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    main = _main(comparisons)
    found = next((main[level] for level in ("cluster", "task", "instance", "wording", "seen") if level in main), None)
    if found is None:
        return None
    what = {
        "cluster": "on whole clusters of tasks that it never trained on",
        "task": "on tasks that it never trained on",
        "instance": "on facts that training never asked about",
        "wording": "in wordings that it never saw",
        "seen": "on questions that it was trained on",
    }[found.level]
    d = found.difference
    return {
        "what": what,
        "after": percent(found.after.value),
        "before": percent(found.before.value),
        "range": _range(found.after),
        "n": found.after.n,
        "groups": found.after.groups,
        "difference": _points(d.value),
        "difference_range": f"{_points(d.low)} to {_points(d.high)}",
        "p": _p_value(d.p),
        "better": d.better,
        "worse": d.worse,
    }


def _tiles(data: ReportData, comparisons: Sequence[Comparison]) -> list[dict[str, str]]:
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


def _levels(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
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
                "difference_range": f"{_points(d.low)} to {_points(d.high)}",
                "moved": f"{d.better} ↑ {d.worse} ↓",
                "p": _p_value(d.p),
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


def _ablation(data: ReportData) -> dict[str, Any] | None:
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


def _ways(comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
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


def _safety(data: ReportData, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
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


def _samples(data: ReportData) -> dict[str, Any] | None:
    """Both models' answers to the same questions: a few of each level, the wrong ones not left out."""
    metrics = ("exact_match", "refusal", "answered", "form")
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
        wrong = sum(after.value < 1 for _, after in pairs)
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
                    "right": after.value == 1,
                    "answers": [
                        {"name": data.base, "text": _clip(before), "right": before.value == 1, "series": "base"},
                        {"name": data.tuned, "text": _clip(after), "right": after.value == 1, "series": "tuned"},
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

    wrong = in_turn([p for p in pairs if p[1].value < 1], count // 3)
    right = in_turn([p for p in pairs if p[1].value == 1], count - len(wrong))
    return right + wrong


def _clip(record: Record, most: int = 240) -> str:
    text = record.answer.strip()
    return text if len(text) <= most else text[:most].rstrip() + " …"


def _mask(drawn: Drawn) -> dict[str, Any]:
    learned = sum(t.count for t in drawn.tokens if t.learn)
    return {
        "title": drawn.title,
        "tokens": mask_fragment(drawn.tokens),
        "learned": learned,
        "count": sum(t.count for t in drawn.tokens),
    }


def _held_out(view: HeldOutView | None) -> dict[str, Any] | None:
    if view is None:
        return None
    lists = [
        {"name": "Whole clusters", "ids": view.clusters, "open": True},
        {"name": "Tasks of seen clusters", "ids": view.tasks, "open": len(view.tasks) <= 12},
        {"name": "Wordings of trained tasks", "ids": view.wordings, "open": False},
        {"name": "Instances, by fact", "ids": view.groups, "open": False},
    ]
    names = {"train": "Training", **{level: name for level, (name, _) in LEVEL_NAMES.items()}}
    counts = [{"name": names.get(k, k), "rows": f"{v:,}"} for k, v in view.counts.items()]
    return {"lists": [x for x in lists if x["ids"]], "counts": counts, "proof": view.proof}


def _ledger(ledger: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not ledger:
        return None
    steps = []
    for step in ledger["steps"]:
        out, aside = sum(step["out"].values()), sum(step["aside"].values())
        if out + aside != step["rows_in"]:
            raise EvalError(
                f"The ledger of {step['name']!r} does not balance: {step['rows_in']} in, {out} out, {aside} set aside."
            )
        names = {level: name for level, (name, _) in LEVEL_NAMES.items()} | {"train": "training"}
        flows = [{"name": names.get(k, k).lower(), "rows": v, "aside": False} for k, v in step["out"].items()]
        flows += [{"name": k, "rows": v, "aside": True} for k, v in step["aside"].items()]
        for flow in flows:
            flow["width"] = 100 * flow["rows"] / max(1, step["rows_in"])
        steps.append({"name": step["name"], "rows_in": step["rows_in"], "out": out, "aside": aside, "flows": flows})
    return {"steps": steps, "rows": list(ledger.get("set_aside", ()))[:100], "more": len(ledger.get("set_aside", ()))}


def _mixture(rows: Sequence[MixtureRow]) -> dict[str, Any] | None:
    if not rows:
        return None
    most = max(max(r.asked, r.realised) for r in rows) or 1.0
    ordered = sorted(rows, key=lambda r: -r.realised)
    shown = [
        {
            "name": r.name,
            "rows": f"{r.rows:,}",
            "asked": f"{100 * r.asked:.2f} %",
            "realised": f"{100 * r.realised:.2f} %",
            "epochs": "" if r.epochs is None else f"{r.epochs:.1f}",
            "width": 100 * r.realised / most,
            "tick": 100 * r.asked / most,
        }
        for r in ordered
    ]
    gap = max(abs(r.asked - r.realised) for r in rows)
    return {"rows": shown, "gap": f"{100 * gap:.2f}"}


def _loss(curve: LossCurve) -> dict[str, Any]:
    raw = plot.smoothed([Point(float(s), v) for s, v in zip(curve.steps, curve.losses, strict=True)])
    course = plot.trend(raw)
    lines = [Line("tuned", raw, faint=True), Line("tuned", course)]
    last = course[-1].y
    return {
        "name": curve.name,
        "plot": plot.lines(lines, x_label="step", y_label="loss"),
        "start": f"{curve.losses[0]:.2f}",
        "end": f"{last:.2f}" if last >= 0.1 else f"{last:.3f}",
        "steps": f"{curve.steps[-1]:,}",
    }


def _tasks(data: ReportData) -> list[dict[str, Any]]:
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
                "before": percent(before.value),
                "after": percent(after.value),
                "range": _range(after),
                "value": after.value,
                "n": after.n,
            }
        )
    order = {level: i for i, level in enumerate(reversed(LEVELS))}
    out.sort(key=lambda row: (order.get(row["level"], 9), row["value"], row["task"]))  # type: ignore[call-overload]
    return out


def _result(score: Any) -> dict[str, str]:
    return {
        "model": score.model,
        "level": LEVEL_NAMES.get(score.level, (score.level, ""))[0],
        "format": score.format,
        "shots": str(score.shots),
        "metric": score.metric,
        "value": percent(score.value),
        "range": f"{percent(score.low)} – {percent(score.high)}",
        "n": str(score.n),
    }


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    machine = dict(run.get("machine") or {})
    packages = dict(machine.pop("packages", None) or {})
    stages = []
    found = dict(run.get("stages") or {})
    longest = max((float(s.get("seconds") or 0) for s in found.values()), default=0.0) or 1.0
    for id, stage in found.items():
        seconds = float(stage.get("seconds") or 0)
        peak = stage.get("peak_mb")
        stages.append(
            {
                "id": id,
                "kind": stage.get("kind", ""),
                "seconds": f"{seconds:,.1f} s",
                "peak": f"{float(peak) / 1024:.1f} GB" if peak else "",
                "width": 100 * seconds / longest,
            }
        )
    total = sum(float(s.get("seconds") or 0) for s in found.values())
    minutes, rest = divmod(round(total), 60)
    facts = {k: v for k, v in run.items() if isinstance(v, str | int | float) and k != "text" and v != ""}
    return {
        "facts": facts,
        "machine": machine,
        "packages": packages,
        "stages": stages,
        "total": f"{minutes} min {rest:02d} s" if minutes else f"{rest} s",
        "text": run.get("text") or "",
        "version": packages.get("tunesmith", ""),
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
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{abs(100 * value):.0f}"


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


__all__ = [
    "HeldOutView",
    "LossCurve",
    "MixtureRow",
    "ReportData",
    "report_html",
    "report_json",
    "write_report",
]
