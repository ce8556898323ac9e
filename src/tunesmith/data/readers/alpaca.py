"""The reader ``alpaca``: ``instruction``, ``input`` and ``output``; perhaps ``system``, and a ``history`` of turns.

The answer may be called ``response``, ``answer`` or ``completion``, and the input ``context``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.core.types import Conversation, Message
from tunesmith.data.readers.pairs import is_about, system_of
from tunesmith.data.readers.shape import ask, digest_of, first_of, list_of, maybe, need, shown
from tunesmith.data.tasks.reader import Found, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

_ANSWERS = ("output", "response", "answer", "completion")
_BESIDE = frozenset(["instruction", "input", "context", "history"])


def _fits(row: Any) -> bool:
    if not isinstance(row, Mapping) or row.get("instruction") is None or {"category", "instances"} & set(row):
        return False
    if row.get("output") is not None:
        return True
    said = [key for key in _ANSWERS if row.get(key) is not None]
    return len(said) == 1 and all(name in (*_BESIDE, *said) or is_about(str(name)) for name in row)


@row_reader("alpaca", sign=Sign(_fits, "objects with `instruction` and `output`", 2))
def alpaca(row: Any, task: Task) -> Iterator[Found]:
    instruction = need(row, "instruction")
    given = maybe(row, "input") or maybe(row, "context")
    question = f"{instruction}\n\n{given}" if given.strip() else instruction
    system = system_of(row)
    messages = ask(question, first_of(row, *_ANSWERS), maybe(row, system) if system else "")
    past: list[Message] = []
    for pair in list_of(row, "history"):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unusable(f"`history` holds {shown(pair)}, wanted pairs of texts")
        past += ask(pair[0], pair[1])
    messages = (*messages[:-2], *past, *messages[-2:])
    yield Conversation(messages, id=digest_of(messages))
