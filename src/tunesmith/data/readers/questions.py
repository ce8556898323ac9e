"""The reader ``questions``: questions without answers, in one or several turns (``turns``), as MT-Bench holds them.
They are for asking, by a suite, and for leak audits. A ``reference`` is the right answer to the last turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.data.reader import Found, Unusable, has, row_reader
from tunesmith.data.readers.shape import digest, fetch, items
from tunesmith.data.task import Task
from tunesmith.types import Conversation, Message


@row_reader("questions", sign=has("turns", weight=2))
def questions(row: Any, task: Task) -> Iterator[Found]:
    turns = items(row, "turns")
    if not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise Unusable("`turns` holds something that is no text")
    reference = fetch(row, "reference")
    known = isinstance(reference, list) and len(reference) == len(turns) and isinstance(reference[-1], str)
    category = fetch(row, "category")
    yield Conversation(
        tuple(Message("user", turn) for turn in turns),
        id=str(fetch(row, "question_id") or digest(*turns)),
        cluster=category if isinstance(category, str) else "",
        answers=(reference[-1],) if known and reference[-1] else (),
        metric="fresh",
    )
