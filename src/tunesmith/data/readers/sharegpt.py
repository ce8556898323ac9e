"""The reader ``sharegpt``: ``conversations`` of ``{from, value}``, with ``function_call`` and ``observation`` turns.

A call is JSON ``{"name": ..., "arguments": ...}``, or a list of such. ``tools`` and ``system`` stand beside the turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.core.errors import nearest
from tunesmith.core.types import Message
from tunesmith.data.readers.shape import ROLES, call_of, conversation, items, maybe, need, parsed, shown, tools
from tunesmith.data.tasks.reader import Found, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task


def _fits(row: Any) -> bool:
    turns = row.get("conversations") if isinstance(row, Mapping) else None
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping) and "from" in turns[0]


SIGN = Sign(
    lambda row: _fits(row) and "chosen" not in row and "label" not in row,
    "objects whose `conversations` are lists of {from, value}",
    3,
)


@row_reader("sharegpt", sign=SIGN)
def sharegpt(row: Any, task: Task) -> Iterator[Found]:
    yield conversation([*system(row), *(turn(item) for item in items(row, "conversations"))], tools(row))


def system(row: Any) -> list[Message]:
    """The system's message that stands beside the turns, if any."""
    text = maybe(row, "system")
    return [Message("system", text)] if text.strip() else []


def turn(item: Any) -> Message:
    """One turn."""
    speaker, text = need(item, "from"), need(item, "value")
    if speaker in ("function_call", "tool_call"):
        return Message("assistant", "", tool_calls=calls(text))
    role = ROLES.get(speaker.lower())
    if role is None:
        close = nearest(speaker.lower(), [*ROLES, "function_call"])
        raise Unusable(f"nobody knows the speaker {shown(speaker)}" + (f"; did you mean {close!r}?" if close else ""))
    if not text.strip() and role != "tool":
        raise Unusable(f"has an empty turn of the {role}")
    return Message(role, text)


def calls(text: str) -> tuple[Mapping[str, Any], ...]:
    """The calls of a turn."""
    value = parsed(text, "function_call")
    if value == []:
        raise Unusable("a function call is an empty list, wanted {name, arguments}")
    return tuple(map(call_of, value if isinstance(value, list) else [value]))
