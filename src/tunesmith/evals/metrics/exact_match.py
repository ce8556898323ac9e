"""Does the answer match a right one exactly? It must also have ended: an answer cut at the limit does not count."""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy


@METRICS.add("exact_match")
def exact_match(answer: Answer, row: Conversation) -> float:
    """1 if the whole answer is a right one."""
    return float(answer.finished and tidy(answer.text) in {tidy(gold) for gold in row.answers})
