"""The leak audit of an evaluation: which questions leaked into a model's training rows.

    found = leaks_into(questions, training_items(["runs/my/build"]))        {id: Leak}, the strongest of each question
    records = marked(records, questions, found)                             records marked with it

A question counts as leaked if a training row has the same source, asks the same or nearly the same, or shares 13
words in a row with it (``data/leaks/audit.py``). Eight words are often a common phrase, and do not count. Rows of the
question's own task use the same templates by design; for those only the source and exact equality count.
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
"""Levels whose facts were trained on by design: nothing to audit."""


def leaks_into(questions: Iterable[Conversation], rows: Iterable[Item]) -> dict[str, Leak]:
    """The strongest leak of each leaked question. Of questions with one id (with and without examples) the first is
    audited."""
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
    """The records, each marked with the leak of its question into its model's training rows, or with none."""
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
    """Answers to clean and to leaked questions; None without an audit."""
    if any(record.leak is None for record in records):
        return None
    return [r for r in records if not r.leak], [r for r in records if r.leak]


def _task(id: str) -> str:
    return id.partition("/")[0]
