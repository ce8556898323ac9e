"""What a step of cleaning is: settings, and what it says about one row.

    class Echo(Step):
        least: int = Field(default=8, description="...")

        def clean(self, row: Conversation) -> Conversation | str: ...

A new step is a file in ``steps`` and a line in ``Cleaning``, where its name in recipes and its turn are. A plug-in
registers its step instead: ``@STEPS.add("echo")``; it comes after ours, in the order of names.

It gives the row back, as it is or mended, or says in a few words why the row should go. The words before a colon are
the reason that is counted; what follows is about the one row. A row sees no other row here: what compares rows
(``near``, ``novelty``, ``diverse``) works on all of them after the split. In a recipe a step is ``true``, ``false``, or
its settings; a step that changes what a careful person wrote, or drops rows by a rule of thumb, is off until asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from tunesmith.core.registry import Registry
from tunesmith.core.settings import Settings
from tunesmith.core.types import Comparison, Conversation, Message


class Switch(Settings):
    """Settings that can be written as ``true`` or ``false``; to give any of them is to switch it on."""

    on: bool = Field(default=False, description="Whether it is done.")

    @model_validator(mode="before")
    @classmethod
    def _switched(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return {"on": value}
        return {"on": True, **value} if isinstance(value, dict) and value else value


class Step(Switch):
    """A step that looks at one row at a time."""

    def clean(self, row: Conversation) -> Conversation | str:
        """The row, as it is or mended; or why it should go."""
        raise NotImplementedError


STEPS: Registry[type[Step]] = Registry("Cleaning step", room="data")
"""The steps of plug-ins; ours are the fields of ``Cleaning``."""

_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")


def answer(row: Conversation) -> str:
    """What the last assistant turn says, or nothing."""
    last = row.messages[-1] if row.messages else None
    return last.content if last is not None and last.role == "assistant" else ""


def question(row: Conversation | Comparison) -> str:
    """What the last user turn before the answer says, or nothing."""
    return next((m.content for m in reversed(row.prompt) if m.role == "user"), "")


def texts(row: Conversation) -> str:
    """All that is said, a turn a line."""
    return "\n".join(m.content for m in row.messages)


def words(text: str) -> list[str]:
    """Words in lower case; where a script has no spaces, its characters."""
    return _WORD.findall(text.lower()) if not text.isascii() else text.lower().split()


def count_words(text: str) -> int:
    """How many there are; marks alone ("★★★") are one."""
    return len(text.split()) if text.isascii() else max(bool(text.strip()), len(_WORD.findall(text)))


def each_text(row: Conversation, change: Callable[[str], str]) -> Conversation:
    """The row with every text changed; the same row if none was."""
    messages = tuple([_changed(m, change) for m in row.messages])
    same = all(a is b for a, b in zip(messages, row.messages, strict=True))
    last = row.messages[-1].content if row.messages else ""
    # The answer that is taught is the last message, and need not be looked at again.
    answers = tuple([messages[-1].content if a is last else change(a) for a in row.answers])
    options = tuple([change(option) for option in row.options])
    if same and answers == row.answers and options == row.options:
        return row
    return replace(row, messages=messages, answers=answers, options=options)


def tagged(row: Conversation, *tags: str) -> Conversation:
    """The row with these tags, each once."""
    fresh = [tag for tag in tags if tag not in row.tags]
    return replace(row, tags=(*row.tags, *fresh)) if fresh else row


def _changed(message: Message, change: Callable[[str], str]) -> Message:
    content = change(message.content)
    thought = None if message.reasoning_content is None else change(message.reasoning_content)
    if content == message.content and thought == message.reasoning_content:
        return message
    return replace(message, content=content, reasoning_content=thought)
