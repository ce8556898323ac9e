"""What the audit compares of a row, on either side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tunesmith.core.errors import DataError
from tunesmith.core.types import Comparison, Conversation, Message, Source

SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Item:
    """What the audit compares of a row, on either side."""

    id: str
    prompt: tuple[str, ...]
    """The turns before the answer."""
    answer: tuple[str, ...] = ()
    group: str = ""
    """The sources, which must not be on both sides; empty if unknown."""
    source: Source = Source("")  # noqa: RUF009 (frozen)
    system: tuple[str, ...] = ()
    """What the system says; no part of the prompt."""

    def __post_init__(self) -> None:
        if any(isinstance(value, str) for value in (self.prompt, self.answer, self.system)):
            raise DataError(
                f"Item {self.id!r}: prompt, answer and system are tuples of texts, not one text; write (text,)."
            )


def item_of(row: Conversation | Comparison) -> Item:
    """What the audit compares of a row: every turn; its answer, else the one that counts as right."""
    if isinstance(row, Comparison):
        answers = tuple(text for answer in row.answers for m in answer for text in texts_of(m))
        prompt = row.prompt
    else:
        prompt = row.prompt
        last = row.messages[len(prompt) :]
        answers = tuple(text for m in last for text in texts_of(m)) or row.answers[:1]
    asked = tuple(text for m in prompt if m.role not in SYSTEM for text in texts_of(m))
    told = tuple(text for m in prompt if m.role in SYSTEM for text in texts_of(m))
    return Item(row.id, asked, answers, row.group, row.source, told)


def texts_of(message: Message) -> Iterator[str]:
    if message.reasoning_content:
        yield message.reasoning_content
    if message.content:
        yield message.content
    for call in message.tool_calls:
        yield json.dumps(call, ensure_ascii=False, default=str)
