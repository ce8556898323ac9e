"""A page to look at every answer of every model: ``answers.html``, one file that opens from disk.

    write_viewer(out / "answers.html", "reading", records, traces=traces, leaks=leaks)

Figures of all models side by side; a list of all questions with filters (task, metric, wording, wrong only, where
models differ, leaked or clean, a text); one question with the prompt as the model reads it and all answers by all
metrics, what differs between two of them, how likely each option was, and the training row that gives the question
away. What is shown is in the address, so that a view can be sent to somebody, and ``answers.html#ID`` opens a question.

What is listed can be downloaded as CSV and JSON lines. A person can judge answers and take notes; those are kept by the
browser and downloaded as comparisons, in a form that the reader ``preference`` reads.

All is held as columns of numbers into one table of texts, packed with gzip: 50,000 questions are some megabytes. The
list draws only the rows that can be seen.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.leaks.report import Leak
from tunesmith.evals.asking.ask import Trace
from tunesmith.evals.compare import style
from tunesmith.evals.compare.style import Style
from tunesmith.evals.compare.summary import Cell, Line, standing
from tunesmith.evals.records import LESS_IS_BETTER, LEVEL_NAMES, Record, question_id
from tunesmith.evals.statistics.intervals import Interval
from tunesmith.pages import templates
from tunesmith.pages.words import Words, words


def write_viewer(
    path: Path,
    title: str,
    records: Sequence[Record],
    *,
    traces: Sequence[Trace] = (),
    leaks: Mapping[str, Mapping[str, Leak]] | None = None,
    lines: Sequence[Line] | None = None,
    styles: Sequence[Style] | None = None,
    language: str | None = None,
) -> Path:
    """Write the page. ``lines`` and ``styles`` are the figures of these records, where they are known already."""
    t = words(language)
    models = list(dict.fromkeys(r.model for r in records))
    lines = standing(records, models) if lines is None else lines
    data = _data(records, models, traces, leaks or {}, lines)
    data["styles"] = _styles(style.table(records) if styles is None else styles, t)
    data["levels"] = [(level, t(name)) for level, (name, _) in LEVEL_NAMES.items()]
    data["words"] = t.table((Path(__file__).parent / "page" / "answers.js").read_text(encoding="utf-8"))
    packed = base64.b64encode(
        gzip.compress(json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"), 6)
    )
    page = templates("tunesmith.evals").get_template("answers.html")
    path.write_text(page.render(t=t, title=title, packed=packed.decode()), encoding="utf-8")
    return path


class _Texts:
    """A table of texts, each there once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._at: dict[str, int] = {}

    def put(self, text: str) -> int:
        text = text if isinstance(text, str) else ""  # a record from elsewhere may have null
        if text not in self._at:
            self._at[text] = len(self.texts)
            self.texts.append(text)
        return self._at[text]


Key = tuple[str, str, int, str, str]


def _data(
    records: Sequence[Record],
    models: Sequence[str],
    traces: Sequence[Trace],
    leaks: Mapping[str, Mapping[str, Leak]],
    lines: Sequence[Line],
) -> dict[str, Any]:
    texts, pieces = _Texts(), _Texts()
    names = {name: _Texts() for name in ("task", "level", "metric", "template", "language", "format")}
    asked: dict[Key, int] = {}
    items: list[Record] = []
    for r in records:
        if asked.setdefault(_key(r), len(asked)) == len(items):
            items.append(r)
    answers = {model: _columns(len(items)) for model in models}
    for r in records:
        i, of = asked[_key(r)], answers[r.model]
        of["value"][i] = _number(round(r.value, 4))
        of["said"][i] = texts.put(r.answer)
        of["finished"][i] = int(r.finished)
        of["leak"][i] = r.leak
        if r.thoughts:
            of["thoughts"][i] = texts.put(r.thoughts)
        if r.likely:
            of["likely"][i] = [_number(round(x, 2)) for x in r.likely]
    by_question: dict[tuple[int, str], list[int]] = {}
    for (_, _, shots, _, id), i in asked.items():
        by_question.setdefault((shots, id.rpartition("#")[0] if "#" in id else id), []).append(i)
        by_question.setdefault((shots, id), []).append(i)
    for trace in traces:
        read, said = ([pieces.put(p) for p in side] for side in (trace.prompt, trace.said))
        for i in by_question.get((trace.shots, trace.id), ()):
            answers[trace.model]["tokens"][i] = [read, [] if items[i].options else said]
    entry, slugs = _entries(items)
    return {
        "models": models,
        "entries": slugs,
        "texts": texts.texts,
        "pieces": pieces.texts,
        "names": {name: table.texts for name, table in names.items()},
        "items": {
            "id": [r.id for r in items],
            "entry": entry,
            **{name: [table.put(getattr(r, name)) for r in items] for name, table in names.items()},
            "shots": [r.shots for r in items],
            "prompt": [texts.put(r.prompt) for r in items],
            "gold": [[texts.put(g) for g in r.gold] for r in items],
            "options": [[texts.put(o) for o in r.options] for r in items],
        },
        "answers": list(answers.values()),
        "figures": _figures(lines, models),
        "less": sorted(LESS_IS_BETTER),
        # Names of models and questions are never keys of an object: "__proto__" is a name as well.
        "leaks": [
            [[id, [leak.name, leak.train, leak.text, _number(leak.score)]] for id, leak in leaks.get(model, {}).items()]
            for model in models
        ],
    }


def _entries(items: Sequence[Record]) -> tuple[list[int], list[str]]:
    """The question of each item, by its number, and the name of each question: its id, unless it is asked in several
    ways; then the others say how."""
    found: dict[tuple[str, str, int, str], int] = {}
    slugs: dict[str, None] = {}
    for r in items:
        id = question_id(r)
        key = (r.level, r.format, r.shots, id)
        if key not in found:
            found[key] = len(found)
            slugs[id if id not in slugs else f"{id} | {r.level} | {r.format} | {r.shots}"] = None
    return [found[r.level, r.format, r.shots, question_id(r)] for r in items], list(slugs)


def _styles(styles: Sequence[Style], t: Words) -> list[dict[str, Any]]:
    return [
        {
            "model": one.model,
            "shares": [
                _number(x)
                for x in (one.in_form.value, one.knows.value, one.both, one.form_only, one.known_only, one.neither)
            ],
            "verdict": t.part(style.verdict(one)),
        }
        for one in styles
    ]


def _key(r: Record) -> Key:
    return r.level, r.format, r.shots, r.metric, r.id


def _columns(count: int) -> dict[str, list[Any]]:
    return {name: [None] * count for name in ("value", "said", "finished", "leak", "thoughts", "likely", "tokens")}


def _number(x: float) -> float | None:
    """JSON has no other numbers than finite ones."""
    return x if math.isfinite(x) else None


def _figures(lines: Sequence[Line], models: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "task": line.task, "level": line.level, "format": line.format, "shots": line.shots, "metric": line.metric,
            "less": line.metric in LESS_IS_BETTER,
            "cells": [_figure(cells[model]) if model in cells else None for model in models],
        }
        for line, cells in ((line, {cell.model: cell for cell in line.cells}) for line in lines)
    ]  # fmt: skip


def _figure(cell: Cell) -> dict[str, Any]:
    def plain(got: Interval) -> list[float | None]:
        return [*map(_number, (got.value, got.low, got.high)), got.n]

    d, spread = cell.difference, cell.wordings
    return {
        "rate": plain(cell.rate),
        "wordings": [_number(spread.worst), _number(spread.best)] if spread and spread.wordings > 1 else None,
        "clean": plain(cell.clean) if cell.clean else None,
        "leaked": plain(cell.leaked) if cell.leaked else None,
        "than": [*map(_number, (d.value, d.low, d.high, cell.p))] if d else None,
    }
