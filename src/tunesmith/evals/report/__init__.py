"""One page that says how far a tuned model generalises, and the same figures as JSON.

In goes a ``ReportData`` of plain values; whatever a run does not have is left out, and the page then has no such
section. Out come, in one folder:

    report.html    one file with everything in it: no script is needed, nothing is loaded
    report.json    {"results": [Score ...], "together": [Figure ...], "run": {...}}

The page draws its conclusions from the figures alone: it says "apart" only where intervals are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunesmith.core.errors import EvalError
from tunesmith.core.whole import write_whole
from tunesmith.evals.records import Comparison, compare, scores, strict
from tunesmith.evals.report import answers
from tunesmith.evals.report import training as making
from tunesmith.evals.report.data import HeldOutView, LossCurve, MixtureRow, ReportData
from tunesmith.evals.report.headline import headline
from tunesmith.pages import templates
from tunesmith.pages.words import Words, words

__all__ = ["HeldOutView", "LossCurve", "MixtureRow", "ReportData", "report_html", "report_json", "write_report"]


def write_report(out_dir: Path | str, data: ReportData, language: str | None = None) -> Path:
    """Write ``report.html`` in a language and ``report.json``; gives the page's path."""
    names = {record.model for record in data.records}
    for model in (data.base, data.tuned, *data.ablation.values()):
        if model not in names:
            raise EvalError(
                f"There are no answers of model {model!r}. Models with answers: {', '.join(sorted(names))}."
            )
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(data.records, data.base, data.tuned)
    write_whole(out / "report.json", strict(report_json(data, comparisons), indent=1) + "\n")
    page = out / "report.html"
    write_whole(page, report_html(data, comparisons, words(language)))
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
    return {
        "results": [asdict(score) for score in scores(data.records)],
        "together": [asdict(figure) for figure in data.together],
        "run": {**data.run, "paired": paired},
    }


def report_html(data: ReportData, comparisons: Sequence[Comparison], t: Words) -> str:
    """The page."""
    pairs, others = answers.every_score(data, scores(data.records), t)
    view = {
        "t": t,
        "title": data.title,
        "headline": headline(data, comparisons, t),
        "levels": answers.levels(data, comparisons, t),
        "ablation": answers.ablation(data, t),
        "ways": answers.ways(comparisons, t),
        "safety": answers.safety(data, comparisons, t),
        "samples": answers.samples(data, t),
        "masks": [making.mask(m) for m in data.masks],
        "held_out": making.held_out(data.held_out, t),
        "ledger": making.ledger(data.ledger, t),
        "mixture": making.mixture(data.mixture),
        "losses": [making.loss(c, t) for c in data.losses if c.steps],
        "tasks": answers.tasks(data, t),
        "pairs": pairs,
        "others": others,
        "together": [answers.together(figure, t) for figure in data.together],
        "run": making.run(data.run, t),
        "base": data.base,
        "tuned": data.tuned,
        "answers": data.answers,
    }
    return templates("tunesmith.evals").get_template("report.html").render(view)
