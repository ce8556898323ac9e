"""The leak audit of an evaluation: which questions a model's training rows give away.

    found = leaks_into(questions, training_items(["runs/my/build"]))        {id: Leak}, the surest of each question
    records = marked(records, questions, found)                             answers that know it

A question counts as leaked where a training row is of the same source, asks the same or nearly the same, or shares
13 words in a row with it (``data/leaks/audit.py``). Eight words are often a common phrase, and are not counted. Rows
of the question's own task are in the same wordings by design; of those only source and sameness count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tunesmith.core.types import Conversation
from tunesmith.data.leaks.audit import Audit
from tunesmith.data.leaks.item import Item, item_of
from tunesmith.data.leaks.report import Leak, kinds_of
from tunesmith.evals.records import Record, question_id

NGRAM = 13
BY_DESIGN = ("seen", "wording")
"""Levels whose facts were trained on, so that there is nothing to audit."""


def leaks_into(questions: Iterable[Conversation], rows: Iterable[Item]) -> dict[str, Leak]:
    """The surest leak of each question that leaks. Of questions with one id, as with and without examples, the first is
    looked at."""
    asked: dict[str, Conversation] = {}
    for question in questions:
        asked.setdefault(question.id, question)
    if not asked:
        return {}
    audit = Audit({"asked": map(item_of, asked.values())}, ngrams=(NGRAM,))
    order = {kind: place for place, kind in enumerate(kinds_of((NGRAM,)))}
    found: dict[str, Leak] = {}
    for row in rows:
        for _, leak in audit.look(row):
            if leak.kind in ("near", "ngram") and _task(row.id) == _task(leak.held):
                continue
            before = found.get(leak.held)
            if before is None or (order[leak.name], -leak.score) < (order[before.name], -before.score):
                found[leak.held] = leak
    return found


def marked(records: Iterable[Record], questions: Iterable[Conversation], found: Mapping[str, Leak]) -> list[Record]:
    """Records that know how their question leaked into the training of their model, or that it did not."""
    audited = {question.id for question in questions}
    out = []
    for record in records:
        names = (record.id, question_id(record), record.id.rpartition("#")[0])
        id = next((name for name in names if name in audited), "")
        known = id in audited and record.level not in BY_DESIGN
        out.append(replace(record, leak=found[id].name if id in found else "") if known else record)
    return out


def write_leaks(path: Path, found: Mapping[str, Mapping[str, Leak]]) -> None:
    """A line for each model and leaked question, with the matching text."""
    with path.open("w", encoding="utf-8") as file:
        for model, leaks in found.items():
            for id, leak in sorted(leaks.items()):
                file.write(json.dumps({"model": model, "question": id, **asdict(leak)}, ensure_ascii=False) + "\n")


def split(records: Sequence[Record]) -> tuple[list[Record], list[Record]] | None:
    """Answers to clean questions, and to leaked ones; None where nobody has looked."""
    if any(record.leak is None for record in records):
        return None
    return [r for r in records if not r.leak], [r for r in records if r.leak]


def _task(id: str) -> str:
    return id.partition("/")[0]
