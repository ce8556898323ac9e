"""Placeholders in rows, which must be filled before training: "I am {{name}}, made by {{author}}".

Sets that give a model its identity hold them. ``fill`` of a task, or ``--fill name=Ada``, puts words there. Double
braces are also part of many template languages, so only the names that such sets use are looked for, and not in code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from tunesmith.core.types import Comparison, Conversation, Message

UNFILLED = "has a placeholder that nothing fills"
_NAMES = (
    "assistant|assistant_name|author|author_name|bot|bot_name|char|character|company|company_name|creator|developer|"
    "model|model_name|name|organization|organisation|owner|team|user|user_name|username"
)
_PLACEHOLDER = re.compile(r"\{\{\s*(" + _NAMES + r")\s*\}\}", re.IGNORECASE)
_CODE = re.compile(r"```|\{%|</|/>|\b(?:jinja|vue|angular|handlebars|mustache|django|templat)", re.IGNORECASE)

Said = TypeVar("Said", bound=Conversation | Comparison)


def filled(row: Said, fill: Mapping[str, str]) -> Said:
    """The row with what ``fill`` gives for each name."""
    if not fill:
        return row
    mark = re.compile(r"\{\{\s*(" + "|".join(map(re.escape, fill)) + r")\s*\}\}")

    def put(message: Message) -> Message:
        if "{{" not in message.content + (message.reasoning_content or ""):
            return message
        thought = message.reasoning_content
        return replace(
            message,
            content=mark.sub(lambda found: fill[found.group(1)], message.content),
            reasoning_content=thought and mark.sub(lambda found: fill[found.group(1)], thought),
        )

    if isinstance(row, Conversation):
        return replace(row, messages=tuple(map(put, row.messages)))
    answers = tuple(tuple(map(put, answer)) for answer in row.answers)
    return replace(row, prompt=tuple(map(put, row.prompt)), answers=answers)


def names_in(text: str) -> list[str]:
    """The names of the placeholders in a text."""
    return [found.group(1) for found in _PLACEHOLDER.finditer(text)]


def unfilled(messages: Iterable[Message]) -> str:
    """Why a row is set aside for a placeholder in it, or nothing."""
    with_braces = [text for m in messages for text in (m.content, m.reasoning_content) if text and "{{" in text]
    names = {name for text in with_braces for name in names_in(text)}
    if not names or any(_CODE.search(text) for text in with_braces):
        return ""
    return f"{UNFILLED}: {', '.join('{{' + name + '}}' for name in sorted(names))}"
