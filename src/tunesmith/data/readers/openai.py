"""The reader ``messages``: ``messages`` of ``{role, content}``, as OpenAI and Hugging Face write them.

Tool calls keep their ids. Content in parts is joined: parts of text, of thoughts and of tool calls, as OpenAI
(``{type: text, text}``) and LLaMA-Factory's v1 form (``{type: text, value}``) write them. A message may carry
``reasoning_content``. ``weight`` (OpenAI), ``loss_weight`` (LLaMA-Factory), ``train`` or ``training`` (Axolotl) say
whether a message is learned, with ``learn: marked``; in a row with such marks, an answer without one is learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.core.errors import nearest
from tunesmith.core.types import Message
from tunesmith.data.readers.shape import (
    ROLES,
    call_of,
    conversation,
    fetch,
    items,
    maybe,
    parsed,
    shown,
    text_or_none,
    tools,
)
from tunesmith.data.tasks import media
from tunesmith.data.tasks.reader import Found, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

_KEYS = ("messages", "conversation", "conversations")
_MARKS = ("weight", "loss_weight", "learn", "train", "training")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


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
    yield conversation(messages_of(turns), tools(row))


def messages_of(turns: Any) -> tuple[Message, ...]:
    """Messages, with the marks of what is learned made whole."""
    found = tuple(map(message, turns))
    if all(m.learn is None for m in found):
        return found
    return tuple(replace(m, learn=True) if m.role == "assistant" and m.learn is None else m for m in found)


def message(item: Any) -> Message:
    """One message."""
    speaker = maybe(item, "role")
    role = ROLES.get(speaker.lower())
    if role is None:
        close = nearest(speaker.lower(), ROLES)
        raise Unusable(f"nobody knows the role {shown(speaker)}" + (f"; did you mean {close!r}?" if close else ""))
    content, thoughts, calls = _parts(fetch(item, "content"))
    calls += _calls(fetch(item, "tool_calls"))
    thoughts = next((text for key in _THOUGHTS if (text := text_or_none(item, key)) is not None), thoughts)
    if not content.strip() and not calls and role != "tool":
        raise Unusable(f"has an empty message of the {role}")
    if calls and role != "assistant":
        raise Unusable(f"has a tool call of the {role}")
    return Message(
        role,
        content,
        reasoning_content=thoughts,
        tool_calls=calls,
        tool_call_id=text_or_none(item, "tool_call_id"),
        name=text_or_none(item, "name"),
        learn=_learn(item),
    )


def _learn(item: Any) -> bool | None:
    """Whether a message is marked as one to learn, or as none."""
    for key in _MARKS:
        mark = fetch(item, key)
        if isinstance(mark, bool | int | float) and mark in (0, 1):
            return bool(mark)
        if mark is not None:
            raise Unusable(f"the `{key}` of a message is {shown(mark)}, wanted 0 or 1")
    return None


def _parts(value: Any) -> tuple[str, str | None, tuple[Mapping[str, Any], ...]]:
    """Text, thoughts and calls of a content that is a text or a list of parts."""
    if value is None:
        return "", None, ()
    if isinstance(value, str):
        return value, None, ()
    if not isinstance(value, list):
        raise Unusable(f"`content` is {shown(value)}, wanted a text")
    said: list[str] = []
    thought: list[str] = []
    calls: tuple[Mapping[str, Any], ...] = ()
    for part in value:
        if not isinstance(part, Mapping):
            raise Unusable(f"`content` has a part that is {shown(part)}, wanted an object")
        if reason := media.of_part(part):
            raise Unusable(reason)
        kind = part.get("type", "text")
        text = next((part[key] for key in ("text", "value", "thinking", "reasoning") if key in part), None)
        if kind not in ("text", "input_text", "output_text", "reasoning", "thinking", "tool_call"):
            raise Unusable(f"`content` has a part of a type that is not known: {shown(kind)}")
        if kind == "tool_call":
            calls += _calls(text)
        elif not isinstance(text, str):
            raise Unusable(f"`content` has a part whose text is {shown(text)}")
        else:
            (thought if kind in ("reasoning", "thinking") else said).append(text)
    return "".join(said), "".join(thought) if thought else None, calls


def _calls(value: Any) -> tuple[Mapping[str, Any], ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = parsed(value, "tool_calls")
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise Unusable(f"`tool_calls` is {shown(value)}, wanted a list")
    found = []
    for call in value:
        clean = call_of(call.get("function", call) if isinstance(call, Mapping) else call)
        id = text_or_none(call, "id")
        found.append({"id": id, **clean} if id else clean)
    return tuple(found)
