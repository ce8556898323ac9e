"""Messages as templates take them: dictionaries, checked, with the turns that are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.core.errors import ChatError, UnknownName
from tunesmith.core.types import Conversation, EncodedMany, Learn, Message, SetAside, Source

Tools = Sequence[Mapping[str, Any]]
AFTER: dict[str, tuple[str, ...]] = {
    "start": ("system", "developer", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool", "user"),
}
ROLES = ("system", "developer", "user", "assistant", "tool")


def probe(question: str, answer: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def as_dicts(conversation: Conversation | Sequence[Any], tools: Tools) -> tuple[list[dict[str, Any]], Tools]:
    """Messages as the dictionaries that templates expect."""
    if isinstance(conversation, Conversation):
        return [m.as_dict() for m in conversation.messages], conversation.tools or tools
    if isinstance(conversation, list) and conversation and type(conversation[0]) is dict:
        return conversation, tools
    if isinstance(conversation, Mapping):
        whole: Mapping[str, Any] = conversation
        return as_dicts(whole["messages"], whole.get("tools") or tools)
    return [m.as_dict() if isinstance(m, Message) else dict(m) for m in conversation], tools


def shape_of(messages: list[dict[str, Any]], learn: str) -> Any:
    """What two conversations must share for one's layout to serve the other; None: too rich for that."""
    shape: list[Any] = [learn]
    for message in messages:
        if len(message) == 2 and "content" in message:
            content = message["content"]
            if type(content) is not str:
                return None
            shape.append(message.get("role"))
            shape.append(content != "")
            continue
        for key, value in message.items():
            if type(value) is str:
                shape += [key, value if key == "role" else value != ""]
            elif value is None or value is True or value is False:
                shape += [key, value]
            else:
                return None
    return tuple(shape)


def check_roles(messages: Sequence[Mapping[str, Any]]) -> None:
    """Roles in an order that a conversation can have; the first message out of place is named."""
    if not messages:
        raise ChatError("The conversation has no messages.")
    before = "start"
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or "role" not in message:
            raise ChatError(f"Message {i} has no role. Expected {{'role': 'user', 'content': '...'}}.")
        role = message["role"]
        if role not in ROLES:
            raise ChatError(str(UnknownName(f"Message {i}: role", str(role), ROLES)))
        if message.get("content") is None and not message.get("tool_calls"):
            raise ChatError(f"Message {i} ({role}) has no content.")
        if not isinstance(message.get("content") or "", (str, list)):
            raise ChatError(f"Message {i} ({role}): content is {type(message['content']).__name__}, expected text.")
        allowed = AFTER[before]
        if role not in allowed:
            raise ChatError(
                f"Message {i} is {role!r} after {before!r}; expected {' or '.join(allowed)}. "
                + ("A system message can only come first." if role in ("system", "developer") else "")
            )
        before = "system" if role == "developer" else role


def learned_turns(messages: Sequence[Mapping[str, Any]], learn: Learn) -> list[int]:
    turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    if learn == "last":
        return turns[-1:]
    if learn == "all":
        return turns
    if learn == "marked":
        wrong = [i for i, m in enumerate(messages) if m.get("learn") and m["role"] != "assistant"]
        if wrong:
            raise ChatError(f"Message {wrong[0]} is marked to be learned but is {messages[wrong[0]]['role']!r}.")
        return [i for i in turns if messages[i].get("learn")]
    raise ChatError(str(UnknownName("Learn policy", learn, ("last", "all", "marked"))))


def set_aside(i: int, conversation: Any, reason: str) -> SetAside:
    if isinstance(conversation, Conversation):
        return SetAside(conversation.id or str(i), reason, conversation.source)
    return SetAside(str(i), reason, Source(""))


def joined_many(parts: Sequence[EncodedMany], aside: tuple[SetAside, ...], counts: Mapping[str, int]) -> EncodedMany:
    lengths = np.concatenate([p.lengths for p in parts])
    return EncodedMany(
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.learn for p in parts]),
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        np.concatenate([p.rows for p in parts]),
        aside,
        counts,
    )
