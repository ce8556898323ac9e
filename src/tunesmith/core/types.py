"""The values that flow through tunesmith, and nothing else.

    record -> Example -> Conversation -> Encoded -> (plan) -> Batch -> Loss -> checkpoint
                                  held-out Conversation -> Completion -> Score -> report

Every value is small, frozen and documented. This file imports nothing of tunesmith, so that
every room may import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Role = Literal["system", "user", "assistant", "tool"]
Learn = Literal["last", "all", "marked"]
Level = Literal["seen", "wording", "instance", "task", "cluster"]

LEVELS: tuple[Level, ...] = ("seen", "wording", "instance", "task", "cluster")
"""What is new to the tuned model, from nothing at all to a whole cluster of tasks."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row came from: enough to open the file and put a finger on it."""

    file: str
    line: int = 0
    item: int = 0
    """Which row, counted from 1, in a file that has no lines of its own: a JSON array, Parquet."""

    def __str__(self) -> str:
        if self.line:
            return f"{self.file}:{self.line}"
        return f"{self.file}#{self.item}" if self.item else self.file

    @classmethod
    def parse(cls, text: str) -> Source:
        """The source of which ``text`` is the ``str``."""
        for mark, key in ((":", "line"), ("#", "item")):
            file, _, number = text.rpartition(mark)
            if file and number.isdigit():
                return cls(file, **{key: int(number)})
        return cls(text)


NOWHERE = Source("")
"""Of what was made by hand."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a task, before any wording is chosen."""

    id: str
    """Unique over the whole build, for example ``capital_en/france``."""
    task: str
    cluster: str
    fields: Mapping[str, str]
    answers: tuple[str, ...]
    """Every answer that counts as right; the first is the one that is taught."""
    options: tuple[str, ...] = ()
    """The answers to choose among, when the task is a choice."""
    group: str = ""
    """What must not be split between training and test: the same fact in two languages, say."""
    source: Source = Source("")
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The row as the file holds it, for templates that compute with numbers and lists (promptsource's)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the field names of OpenAI and Hugging Face."""

    role: str
    content: str = ""
    reasoning_content: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    learn: bool | None = None
    """Only read under ``learn="marked"``: True teaches this turn, anything else does not."""

    def as_dict(self) -> dict[str, Any]:
        """The dictionary that a Hugging Face chat template expects; empty fields are left out."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning_content is not None:
            out["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            out["tool_calls"] = list(self.tool_calls)
        if self.tool_call_id is not None:
            out["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            out["name"] = self.name
        if self.learn is not None:
            out["learn"] = self.learn
        return out


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, and everything needed to say later where they came from."""

    messages: tuple[Message, ...]
    id: str = ""
    """``<example id>@<template id>``: names the row in every table, error and report."""
    task: str = ""
    cluster: str = ""
    template: str = ""
    answers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()
    """What is asked of the answer's form, as ``evals/constraints`` knows it: ``{"id": ..., <arguments>}``."""
    metric: str = "exact_match"
    language: str = "en"
    group: str = ""
    """What must not be split between training and test; questions of one group are no independent evidence."""
    licence: str = ""
    tags: tuple[str, ...] = ()
    """What the steps of cleaning found worth saying: ``masked:email``, ``toxic``, ``quality:0.7``."""
    source: Source = Source("")

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All that comes before the answer: the messages up to the last assistant turn."""
        if self.messages and self.messages[-1].role == "assistant":
            return self.messages[:-1]
        return self.messages


@dataclass(frozen=True, slots=True)
class Comparison:
    """A prompt with answers of which some are better than others."""

    prompt: tuple[Message, ...]
    answers: tuple[tuple[Message, ...], ...]
    scores: tuple[float, ...]
    """One for each answer, higher is better; only their order counts. An answer alone: 1 is liked, 0 is not."""
    id: str = ""
    task: str = ""
    cluster: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    language: str = "en"
    group: str = ""
    licence: str = ""
    source: Source = Source("")


class Encoded(NamedTuple):
    """A conversation as the model sees it: ids, and which of them it is taught to produce."""

    ids: NDArray[np.int32]
    learn: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that was not used, and why. Rows in = rows out + rows set aside."""

    row: str
    reason: str
    source: Source = Source("")


@dataclass(frozen=True, slots=True)
class EncodedMany:
    """Many encoded rows end to end: row ``i`` is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: NDArray[np.int32]
    learn: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    """Which input row each encoded row came from (one input can give several)."""
    set_aside: tuple[SetAside, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """What happened on the way: ``cut`` conversations, ``straddled`` answers, ..."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Encoded:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        a, b = int(self.offsets[i]), int(self.offsets[i + 1])
        return Encoded(self.ids[a:b], self.learn[a:b])

    def __iter__(self) -> Iterator[Encoded]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one prompt."""

    text: str
    ids: tuple[int, ...]
    finished: bool
    """True when the model stopped by itself, False when it ran into the length limit."""


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of an evaluation, with its 95 % interval; ``report.json`` is a list of these."""

    model: str
    level: str
    format: str
    shots: int
    metric: str
    value: float
    low: float
    high: float
    n: int


def messages_of(items: Sequence[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Accept the dictionaries of other libraries wherever messages are wanted."""
    return tuple(m if isinstance(m, Message) else Message(**m) for m in items)
