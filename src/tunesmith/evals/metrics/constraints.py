"""Does the answer keep the constraints that the row asks for (IFEval)?

``constraints`` is 1 if it keeps all of them; ``each_constraint`` has a score for each one. The loose ones also accept
the answer without its first line, its last, or both, and without asterisks. So "Sure, here it is:" is not a failure.
"""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.evals.constraints import follows, loosened
from tunesmith.evals.metrics.metric import METRICS, Answer


def kept(answer: Answer, row: Conversation, *, loosely: bool = False) -> list[bool]:
    """Which of its constraints an answer keeps."""
    texts = list(dict.fromkeys(loosened(answer.text))) if loosely else [answer.text]
    return [any(follows(text, check, zh=row.language == "zh") for text in texts) for check in row.checks]


@METRICS.add("constraints")
def constraints(answer: Answer, row: Conversation) -> float:
    """1 where all are kept."""
    return float(all(kept(answer, row)))


@METRICS.add("constraints_loose")
def constraints_loose(answer: Answer, row: Conversation) -> float:
    """1 where all are kept, loosely read."""
    return float(all(kept(answer, row, loosely=True)))


@METRICS.add("each_constraint")
def each_constraint(answer: Answer, row: Conversation) -> list[float]:
    """1 for each that is kept."""
    return [float(one) for one in kept(answer, row)]


@METRICS.add("each_constraint_loose")
def each_constraint_loose(answer: Answer, row: Conversation) -> list[float]:
    """1 for each that is kept, loosely read."""
    return [float(one) for one in kept(answer, row, loosely=True)]
