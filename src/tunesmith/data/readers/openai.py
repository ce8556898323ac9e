"""The reader ``messages``: ``messages`` of ``{role, content}``, as OpenAI and Hugging Face write them.

Tool calls keep their ids; ``weight`` 0 or 1 says whether a message is learned (with ``learn: marked``); content in
parts is joined, as far as it is text; a message may carry ``reasoning_content``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.reader import Found, Sign, Unusable, row_reader
from tunesmith.data.readers.shape import ROLES, chat, digest_of, fetch, items, maybe, parsed, shown, tools
from tunesmith.data.task import Task
from tunesmith.errors import nearest
from tunesmith.types import Conversation, Message

_KEYS = ("messages", "conversation", "conversations")


def messages_key(row: Any) -> str | None:
    """The key under which a row holds its messages."""
    for key in _KEYS:
        value = row.get(key) if isinstance(row, Mapping) else None
        if isinstance(value, list) and value and isinstance(value[0], Mapping) and "role" in value[0]:
            return key
    return None


SIGN = Sign(
    lambda row: messages_key(row) is not None and not {"label", "chosen"} & set(row),
    "objects whose `messages` are lists of {role, content}",
    3,
)


@row_reader("messages", sign=SIGN)
def read_messages(row: Any, task: Task) -> Iterator[Found]:
    turns = items(row, messages_key(row) or "messages")
    messages = chat([message(turn) for turn in turns])
    yield Conversation(messages, id=digest_of(messages), tools=tools(row))


def message(item: Any) -> Message:
    """One message."""
    speaker = maybe(item, "role")
    role = ROLES.get(speaker.lower())
    if role is None:
        close = nearest(speaker.lower(), ROLES)
        raise Unusable(f"nobody knows the role {speaker!r}" + (f"; did you mean {close!r}?" if close else ""))
    calls = _calls(fetch(item, "tool_calls") or ())
    content = _content(fetch(item, "content"))
    if not content.strip() and not calls and role != "tool":
        raise Unusable(f"has an empty message of the {role}")
    weight = fetch(item, "weight")
    if weight is not None and weight not in (0, 1):
        raise Unusable(f"a message has weight {shown(weight)}, wanted 0 or 1")
    return Message(
        role,
        content,
        reasoning_content=fetch(item, "reasoning_content"),
        tool_calls=calls,
        tool_call_id=fetch(item, "tool_call_id"),
        name=fetch(item, "name"),
        learn=None if weight is None else bool(weight),
    )


def _content(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise Unusable(f"`content` is {shown(value)}, wanted a text")
    parts = []
    for part in value:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, Mapping) else part
            raise Unusable(f"`content` has a part that is no text: {shown(kind)}")
        parts.append(part["text"])
    return "".join(parts)


def _calls(value: Any) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, str):
        value = parsed(value, "tool_calls")
    if not isinstance(value, list | tuple):
        raise Unusable(f"`tool_calls` is {shown(value)}, wanted a list")
    found = []
    for call in value:
        inner = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise Unusable(f"a tool call is {shown(call)}, wanted {{function: {{name, arguments}}}}")
        arguments = inner.get("arguments", {})
        if isinstance(arguments, str) and arguments.strip().startswith("{"):
            arguments = parsed(arguments, "arguments")
        clean = {"type": "function", "function": {"name": inner["name"], "arguments": arguments}}
        found.append({"id": call["id"], **clean} if isinstance(call.get("id"), str) else clean)
    return tuple(found)
