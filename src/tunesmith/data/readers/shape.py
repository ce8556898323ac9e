"""Taking rows apart: what the readers share. Each function gives a text or a value, or raises ``Unusable``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tunesmith.core.types import Conversation, Message
from tunesmith.data.tasks.reader import Unusable

ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""What the speakers are called in the files of the field, and here."""


def need(row: Any, key: str) -> str:
    """A text that has to be there."""
    value = fetch(row, key)
    if not isinstance(value, str):
        raise Unusable(f"`{key}` is {shown(value)}, wanted a text")
    return value


def maybe(row: Any, key: str) -> str:
    """A text that may be missing."""
    value = fetch(row, key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unusable(f"`{key}` is {shown(value)}, wanted a text")
    return value


def first_of(row: Any, *keys: str) -> str:
    """The first of these keys that the row has."""
    for key in keys:
        if fetch(row, key) is not None:
            return need(row, key)
    raise Unusable(f"`{keys[0]}` is missing")


def fetch(row: Any, key: str) -> Any:
    """The value of a key, or None; a row that has no keys at all is unusable."""
    if not isinstance(row, Mapping):
        raise Unusable(f"is {shown(row)}, wanted an object")
    return row.get(key)


def items(row: Any, key: str) -> Sequence[Any]:
    """A list that has to be there, and hold something."""
    value = fetch(row, key)
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = parsed(value, key)
    if not isinstance(value, list) or not value:
        raise Unusable(f"`{key}` is {shown(value)}, wanted a list")
    return value


def parsed(text: str, key: str) -> Any:
    """JSON inside a text, as files write what would not fit their columns."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"`{key}` is not JSON: {error}") from None


def tools(row: Any, key: str = "tools") -> tuple[Mapping[str, Any], ...]:
    """The tools that a conversation may call."""
    value = fetch(row, key)
    if isinstance(value, str) and value.strip():
        value = parsed(value, key)
    if value is None or value == "" or value == []:
        return ()
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) and tool for tool in value):
        raise Unusable(f"`{key}` is {shown(value)}, wanted a list of objects")
    return tuple(value)


def call_of(value: Any) -> dict[str, Any]:
    """A call of a tool, ``{name, arguments}``, as OpenAI and the chat templates of Hugging Face write it."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"].strip():
        raise Unusable(f"a tool call is {shown(value)}, wanted {{name, arguments}}")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        arguments = parsed(arguments, "arguments")
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise Unusable(f"the `arguments` of a tool call are {shown(arguments)}, wanted an object")
    return {"type": "function", "function": {"name": value["name"], "arguments": dict(arguments)}}


def text_or_none(row: Any, key: str) -> str | None:
    """A text that may be missing, where a missing one is not the same as an empty one."""
    return maybe(row, key) if fetch(row, key) is not None else None


def name_of(row: Any, key: str) -> str:
    """An id that may be missing: a text, or a whole number."""
    value = fetch(row, key)
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unusable(f"`{key}` is {shown(value)}, wanted a text or a number")
    return str(value)


def list_of(row: Any, key: str) -> Sequence[Any]:
    """A list that may be missing."""
    value = fetch(row, key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unusable(f"`{key}` is {shown(value)}, wanted a list")
    return value


CUT = "cut:turns after the last answer"
"""The tag of a conversation that does not end with an answer in its file."""


def conversation(messages: Sequence[Message], tools: tuple[Mapping[str, Any], ...] = ()) -> Conversation:
    """A conversation that can be learned from. It has a tag where turns after the last answer are cut."""
    kept = chat(messages)
    tags = (CUT,) if len(kept) < len(messages) else ()
    return Conversation(kept, id=digest_of(kept, tools), tools=tools, tags=tags)


def chat(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Messages that make a conversation which can be learned from; turns after the last answer go."""
    kept = list(messages)
    while kept and kept[-1].role != "assistant":
        kept.pop()
    if not kept:
        raise Unusable("has no answer of an assistant")
    talk = kept[1:] if kept[0].role == "system" else kept
    if talk[0].role == "assistant":
        raise Unusable("begins with an answer, and no question before it")
    for i, (a, b) in enumerate(pairwise(talk)):
        if a.role == b.role and a.role in ("user", "assistant"):
            raise Unusable(f"message {len(kept) - len(talk) + i + 2} is the {b.role}'s, and so is the one before")
        if b.role == "system":
            raise Unusable(f"message {len(kept) - len(talk) + i + 2} is the system's, which may only come first")
    return tuple(kept)


def ask(question: str, answer: str, system: str = "") -> tuple[Message, ...]:
    """One question and its answer."""
    if not question.strip():
        raise Unusable("has no question")
    if not answer.strip():
        raise Unusable("has no answer")
    head = (Message("system", system),) if system.strip() else ()
    return (*head, Message("user", question), Message("assistant", answer))


def digest(*parts: str) -> str:
    """A name for content: the same wherever the row stands."""
    # What separates the parts is escaped inside them, so that no two lists of parts give the same text.
    if any("\x1e" in part or "\x1f" in part for part in parts):
        parts = tuple([part.replace("\x1e", "\x1e\x1e").replace("\x1f", "\x1e_") for part in parts])
    text = "\x1f".join(parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def digest_of(messages: Sequence[Message], *beside: Any) -> str:
    """The digest of messages: all that they say, think, call and teach; and of what stands ``beside`` them, such as
    the tools. Rows that differ in anything that is learned from have different ids."""
    parts = [part for m in messages for part in (m.role, m.content, _rest(m))]
    return digest(*parts, *(json.dumps(value, default=list) for value in beside if value))


def _rest(message: Message) -> str:
    """What a message holds besides its text; nothing for most."""
    rest = message.as_dict()
    return json.dumps(rest, sort_keys=True) if len(rest) > 2 else ""


def shown(value: Any) -> str:
    """A value in an error message."""
    if value is None:
        return "missing"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(value[:60] if isinstance(value, str | bytes) else value)
    return text if len(text) < 60 else text[:57] + "..."
