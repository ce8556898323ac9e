"""The reader ``alpaca``: ``instruction``, ``input`` and ``output``; perhaps ``system``, and a ``history`` of turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.data.reader import Found, Key, Unusable, has, row_reader
from tunesmith.data.readers.shape import ask, digest_of, fetch, maybe, need, shown
from tunesmith.data.task import Task
from tunesmith.types import Conversation, Message


@row_reader(
    "alpaca",
    keys={"fill": Key("map", required=False)},
    sign=has("instruction", "output", without=("category", "context", "instances")),
)
def alpaca(row: Any, task: Task) -> Iterator[Found]:
    instruction, given = need(row, "instruction"), maybe(row, "input")
    question = f"{instruction}\n\n{given}" if given.strip() else instruction
    messages = ask(question, need(row, "output"), maybe(row, "system"))
    head = messages[:-2]
    past: list[Message] = []
    for pair in fetch(row, "history") or ():
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unusable(f"`history` holds {shown(pair)}, wanted pairs of texts")
        past += [Message("user", pair[0]), Message("assistant", pair[1])]
    messages = filled((*head, *past, *messages[-2:]), task)
    yield Conversation(messages, id=digest_of(messages))


def filled(messages: tuple[Message, ...], task: Task) -> tuple[Message, ...]:
    """``{{name}}`` replaced by what the task's key ``fill`` gives for ``name``."""
    fill = task.settings.get("fill")
    if not fill:
        return messages

    def put(text: str) -> str:
        for name, value in fill.items():
            text = text.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
        return text

    return tuple(Message(m.role, put(m.content)) for m in messages)
