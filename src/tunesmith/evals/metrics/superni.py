"""Super-NaturalInstructions' exact match: small letters, no punctuation; articles stay."""

from __future__ import annotations

import re
import string

from tunesmith.evals.metrics.metric import METRICS, Answer
from tunesmith.types import Conversation

_MARKS = re.compile(rf"[{re.escape(string.punctuation)}]")


def _plainly(text: str) -> str:
    return " ".join(_MARKS.sub("", text.lower()).split())


@METRICS.add("superni_exact")
def superni_exact(answer: Answer, row: Conversation) -> float:
    """1 where the answer is a right one by these rules."""
    return float(_plainly(answer.text) in {_plainly(gold) for gold in row.answers})
