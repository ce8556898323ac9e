"""A suite asked of any number of models, and everything written down.

    found = evaluate(suite, suite.questions(), [Model("my", place, who, trained_on=[build])], out)
    found.lines, found.styles

In ``out`` then stand

    answers.jsonl            every answer (``records``)
    tokens.jsonl             the tokens of each question and answer, for models whose tokens are ours
    failures.jsonl           which questions failed, and why; they are in no figure
    leaks.jsonl              which questions the training rows of which model give away, with the matching text
    figures.json             how models stand, how style and ability part, and what was asked
    results_<model>.json     the same figures in the shape of lm-evaluation-harness
    answers.html             a page to look at all of it, question by question
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.ask.respondent import Respondent
from tunesmith.core.types import Conversation, SetAside
from tunesmith.data.leaks.report import Leak
from tunesmith.data.leaks.sources import training_items
from tunesmith.evals.asking.ask import Failure, Trace, ask_passages
from tunesmith.evals.asking.open_ended import ask_all
from tunesmith.evals.asking.suite import Asked, Suite
from tunesmith.evals.compare import style
from tunesmith.evals.compare.style import Style
from tunesmith.evals.compare.summary import Line, standing
from tunesmith.evals.corpus.figures import Figure, figures_of
from tunesmith.evals.harness.results import results_of
from tunesmith.evals.leaked import leaks_into, marked, write_leaks
from tunesmith.evals.records import ANSWERS, Record, strict, write_records
from tunesmith.evals.viewer import write_viewer

Tell = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


@dataclass(frozen=True, slots=True)
class Model:
    """Who is asked, and what is known of it."""

    name: str
    place: str
    """Its folder or address."""
    who: Respondent
    trained_on: Sequence[str | Path] = field(default_factory=list)
    """Builds or files with its training rows; [] where nobody knows."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found."""

    records: list[Record]
    lines: list[Line]
    styles: list[Style]
    leaks: dict[str, dict[str, Leak]]
    """By model, those whose training rows are known."""
    set_aside: tuple[SetAside, ...]
    failures: list[Failure]
    """Questions without an answer."""
    together: list[Figure]
    """The figures of many answers together that the suite asks for."""


def evaluate(
    suite: Suite,
    asked: Asked,
    models: Iterable[Model],
    out: Path,
    tell: Tell = lambda what, done, of: None,
    level: Callable[[Conversation], str] = lambda row: "asked",
) -> Evaluation:
    """Ask every model the suite's questions, audit, count, and write. ``level`` says how new a question is, where that
    is known."""
    every = [row for shots in sorted(asked.questions) for row in asked.questions[shots]]
    records: list[Record] = []
    traces: list[Trace] = []
    failures: list[Failure] = []
    leaks: dict[str, dict[str, Leak]] = {}
    places: dict[str, str] = {}
    for model in models:
        mine: list[Record] = []
        for shots, rows in asked.questions.items():
            progress = partial(tell, f"{model.name}, {shots} examples shown")
            mine += ask_all(
                model.who,
                _by(level, rows),
                name=model.name,
                shots=shots,
                how=suite.how,
                traces=traces,
                failures=failures,
                progress=progress,
            )
        if asked.passages:
            mine += ask_passages(model.who, asked.passages, name=model.name)
        if model.trained_on:
            leaks[model.name] = leaks_into(every, training_items(model.trained_on))
            mine = marked(mine, every, leaks[model.name])
        records += mine
        places[model.name] = model.place
        del model  # its weights, before the next one's are read
    lines, styles = standing(records, list(places)), style.table(records)
    together = figures_of(records, suite.figures)
    out.mkdir(parents=True, exist_ok=True)
    write_records(out / ANSWERS, records)
    with (out / "tokens.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(trace), ensure_ascii=False) + "\n" for trace in traces)
    with (out / "failures.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in failures)
    write_leaks(out / "leaks.jsonl", leaks)
    about: dict[str, Any] = {
        "suite": suite.model_dump(),
        "models": places,
        "failed": Counter(one.model for one in failures),
    }
    figures = {**about, "figures": [asdict(line) for line in lines], "style": [asdict(one) for one in styles]}
    figures["together"] = [asdict(one) for one in together]
    (out / "figures.json").write_text(strict(figures, indent=1) + "\n", encoding="utf-8")
    for name in places:
        shaped = results_of([record for record in records if record.model == name])
        text = strict(shaped, indent=2) + "\n"
        (out / f"results_{name}.json").write_text(text, encoding="utf-8")
    write_viewer(out / "answers.html", suite.suite, records, traces=traces, leaks=leaks, lines=lines, styles=styles)
    return Evaluation(records, lines, styles, leaks, asked.set_aside, failures, together)


def _by(level: Callable[[Conversation], str], rows: Iterable[Conversation]) -> dict[str, list[Conversation]]:
    found: dict[str, list[Conversation]] = {}
    for row in rows:
        found.setdefault(level(row), []).append(row)
    return found
