"""Super-NaturalInstructions' exact match: small letters, no punctuation; articles stay."""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer
from tunesmith.evals.metrics.squad import unmarked


def _plainly(text: str) -> str:
    return " ".join(unmarked(text).split())


@METRICS.add("superni_exact")
def superni_exact(answer: Answer, row: Conversation) -> float:
    """1 where the answer is a right one by these rules."""
    return float(_plainly(answer.text) in {_plainly(gold) for gold in row.answers})
