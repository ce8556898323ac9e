"""What a metric is: one question about one answer, as a figure from 0 to 1.

A new metric is a new file beside this one (start from ``exact_match.py``):

    @METRICS.add("exact_match")
    def exact_match(answer: Answer, row: Conversation) -> float:
        return float(answer.text in row.answers)

Its name may then stand as ``metric:`` in a task file.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.core.registry import Registry
from tunesmith.core.types import Conversation


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model did with one question."""

    text: str
    """What it said, without control tokens."""
    finished: bool = True
    """False where it was still talking at the length limit."""
    likely: tuple[float, ...] = ()
    """The log-likelihood of each option of the row, its end included, where options were ranked."""
    unasked: tuple[float, ...] = ()
    """The same without the question, where that was asked too."""


Metric = Callable[[Answer, Conversation], "float | Sequence[float]"]
METRICS: Registry[Metric] = Registry("Metric", room="evals")
WITHOUT_GOLD = frozenset({"fresh", "same_language"})
"""Metrics that look at the answer and the question alone."""


def tidy(text: str) -> str:
    """Text as metrics compare it: one way to write each character, no stray white space, lines kept.

    Case and punctuation stay: tasks that ask for capitals or for a sentence are about just these.
    """
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFC", text).strip().splitlines())
    return "\n".join(lines)
