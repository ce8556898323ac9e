"""Two checks that ignore content: does an answer repeat itself, and is it in the question's language?"""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.data.clean.novelty import spread
from tunesmith.data.clean.steps.language import identify
from tunesmith.evals.metrics.metric import METRICS, Answer

SPAN = 4
"""Words of a stretch that should not come twice."""


@METRICS.add("fresh")
def fresh(answer: Answer, row: Conversation) -> float:
    """The share of its 4-grams that did not occur before: 1 is no repetition, near 0 a loop."""
    words = spread(answer.text)
    spans = [tuple(words[i : i + SPAN]) for i in range(len(words) - SPAN + 1)]
    return len(set(spans)) / len(spans) if spans else 1.0


@METRICS.add("same_language")
def same_language(answer: Answer, row: Conversation) -> float:
    """1 where the answer is in the row's language; a text without letters is in any."""
    if not any(letter.isalpha() for letter in answer.text):
        return 1.0
    return float(identify(answer.text)[0] == row.language)
