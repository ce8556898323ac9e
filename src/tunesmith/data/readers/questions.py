"""The reader ``questions``: questions without answers, in one or several turns (``turns``), as MT-Bench holds them.
The fields are ``question`` (the first turn), ``turns`` and ``reference``; they are for asking, and for leak audits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.data.reader import Found, Record, Unusable, Value, has, row_reader
from tunesmith.data.readers.shape import digest, fetch, items
from tunesmith.data.task import Task


@row_reader("questions", gives="records", sign=has("turns", weight=2))
def questions(row: Any, task: Task) -> Iterator[Found]:
    turns = items(row, "turns")
    if not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise Unusable("`turns` holds something that is no text")
    fields: dict[str, Value] = {"question": turns[0], "turns": tuple(turns)}
    if isinstance(fetch(row, "category"), str):
        fields["category"] = row["category"]
    reference = fetch(row, "reference")
    if isinstance(reference, list) and all(isinstance(text, str) for text in reference):
        fields["reference"] = tuple(reference)
    yield Record(str(fetch(row, "question_id") or digest(*turns)), fields)
