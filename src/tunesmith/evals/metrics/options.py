"""Of the answer options, is the one that the model finds likeliest a right one?

This asks what a model knows without asking that it can say it, as T0 and FLAN evaluate choices.
"""

from __future__ import annotations

from tunesmith.evals.metrics.metric import METRICS, Answer, tidy
from tunesmith.types import Conversation


@METRICS.add("options")
def options(answer: Answer, row: Conversation) -> float:
    """1 where the likeliest option is a right answer."""
    return float(answer.chosen is not None and tidy(answer.chosen) in {tidy(gold) for gold in row.answers})
