"""The reader ``questions``: questions without answers, in one or several turns (``turns``), as MT-Bench holds them.
They are for asking, by a suite, and for leak audits. A ``reference`` is the right answer to the last turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.core.types import Conversation, Message
from tunesmith.data.readers.shape import digest, items, list_of, maybe, name_of
from tunesmith.data.tasks.reader import Found, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("questions", sign=has("turns", weight=2))
def questions(row: Any, task: Task) -> Iterator[Found]:
    turns = items(row, "turns")
    if not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise Unusable("`turns` holds something that is no text")
    reference = list_of(row, "reference")
    known = len(reference) == len(turns) and isinstance(reference[-1], str)
    yield Conversation(
        tuple(Message("user", turn) for turn in turns),
        id=name_of(row, "question_id") or digest(*turns),
        cluster=maybe(row, "category"),
        answers=(reference[-1],) if known and reference[-1] else (),
        metric="fresh",
    )
