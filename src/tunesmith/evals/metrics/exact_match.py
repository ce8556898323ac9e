"""Is the answer one of the right ones, letter for letter? It also has to end: talking on is not an answer."""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy


@METRICS.add("exact_match")
def exact_match(answer: Answer, row: Conversation) -> float:
    """1 where the whole answer is a right one."""
    return float(answer.finished and tidy(answer.text) in {tidy(gold) for gold in row.answers})
