"""Models side by side: for each task, metric and number of examples, every model next to the first.

    for line in standing(records, ["base", "tuned"]):
        line.task, line.metric, [cell.rate for cell in line.cells]

Each rate has its interval over groups, the best and the worst template, the rates on leaked and on clean questions if
they were audited, and the paired difference from the first model. Its p value and its interval are corrected for the
number of lines (Holm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from tunesmith.evals.compare.changes import changes
from tunesmith.evals.leaked import split
from tunesmith.evals.records import Record, Spread, over_wordings, rate
from tunesmith.evals.statistics.intervals import Difference, Interval, Verdict, holm
from tunesmith.evals.statistics.score_test import ScoreTest


@dataclass(frozen=True, slots=True)
class Cell:
    """One model in a line."""

    model: str
    rate: Interval
    wordings: Spread | None
    """None for all tasks together: each has its own templates."""
    clean: Interval | None = None
    """On questions that did not leak into its training rows; None without an audit."""
    leaked: Interval | None = None
    """On questions that leaked; None if there are none."""
    difference: Difference | None = None
    """From the first model."""
    p: float = 1.0
    detectable: float = 1.0
    """The smallest true difference that so many questions would detect with a power of 80 %."""


@dataclass(frozen=True, slots=True)
class Line:
    """One task by one metric."""

    task: str
    """"": all tasks together, where there are several."""
    level: str
    format: str
    shots: int
    metric: str
    cells: tuple[Cell, ...]


def standing(records: Sequence[Record], models: Sequence[str]) -> list[Line]:
    """A line for all tasks together and for each, by level, number of examples and metric."""
    kinds: dict[tuple[str, str, str, int, str], dict[str, list[Record]]] = {}
    over_tasks: dict[tuple[str, str, str, int, str], dict[str, list[Record]]] = {}
    for r in records:
        kinds.setdefault((r.task, r.level, r.format, r.shots, r.metric), {}).setdefault(r.model, []).append(r)
        over_tasks.setdefault(("", r.level, r.format, r.shots, r.metric), {}).setdefault(r.model, []).append(r)
    many = {key: by for key, by in over_tasks.items() if len({r.task for mine in by.values() for r in mine}) > 1}
    kinds = {**many, **kinds}
    lines: list[Line] = []
    tests: dict[tuple[int, str], ScoreTest] = {}
    for key, by in kinds.items():
        first, cells = by.get(models[0], []), []
        for model in [model for model in models if model in by]:
            cell, test = _cell(model, by[model], first)
            cells.append(cell)
            if test:
                tests[len(lines), model] = test
        lines.append(Line(*key, tuple(cells)))
    # The differences of a model are corrected together: those of all tasks, and those of single ones.
    for model, pooled in product(models[1:], (True, False)):
        at = [i for i, line in enumerate(lines) if (i, model) in tests and (line.task == "") == pooled]
        for i, one in zip(at, holm([tests[i, model] for i in at]), strict=True):
            lines[i] = replace(lines[i], cells=tuple(_corrected(cell, model, one) for cell in lines[i].cells))
    return lines


def _corrected(cell: Cell, model: str, one: Verdict) -> Cell:
    if cell.model != model or cell.difference is None:
        return cell
    return replace(cell, p=one.p, difference=replace(cell.difference, low=one.low, high=one.high))


def _cell(model: str, mine: Sequence[Record], first: Sequence[Record]) -> tuple[Cell, ScoreTest | None]:
    sides = split(mine)
    clean = rate(sides[0]) if sides and sides[0] else None
    leaked = rate(sides[1]) if sides and sides[1] else None
    one_task = len({record.task for record in mine}) == 1
    cell = Cell(model, rate(mine), over_wordings(mine) if one_task else None, clean, leaked)
    if not first or first[0].model == model or not {r.id for r in first} & {r.id for r in mine}:
        return cell, None
    (change,) = changes(first, mine)
    d = change.difference
    return replace(cell, difference=d, p=d.p, detectable=change.detectable), change.test
