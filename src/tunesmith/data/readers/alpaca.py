"""The reader ``alpaca``: ``instruction``, ``input`` and ``output``; perhaps ``system``, and a ``history`` of turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.data.reader import Found, Unusable, has, row_reader
from tunesmith.data.readers.shape import ask, digest_of, list_of, maybe, need, shown
from tunesmith.data.task import Task
from tunesmith.types import Conversation, Message


@row_reader("alpaca", sign=has("instruction", "output", without=("category", "context", "instances")))
def alpaca(row: Any, task: Task) -> Iterator[Found]:
    instruction, given = need(row, "instruction"), maybe(row, "input")
    question = f"{instruction}\n\n{given}" if given.strip() else instruction
    messages = ask(question, need(row, "output"), maybe(row, "system"))
    past: list[Message] = []
    for pair in list_of(row, "history"):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unusable(f"`history` holds {shown(pair)}, wanted pairs of texts")
        past += ask(pair[0], pair[1])
    messages = (*messages[:-2], *past, *messages[-2:])
    yield Conversation(messages, id=digest_of(messages))
