"""``quality``: a score from 0 to 1 for each row, by a scorer that is found by name; the row is tagged ``quality:0.7``.

    @SCORERS.add("heuristic")
    def heuristic(row: Conversation) -> float: ...

A scorer that asks a model is a function of the same shape. ``least`` drops what scores lower.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pydantic import Field, field_validator

from tunesmith.core.registry import Registry
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, count_words, question, tagged

Scorer = Callable[[Conversation], float]
SCORERS: Registry[Scorer] = Registry("Quality scorer")
_MARKS = re.compile(r"[^\w\s]")


class Quality(Step):
    """Score each row, and drop what scores low."""

    scorer: str = Field(default="heuristic", description="Who scores.")
    least: float = Field(default=0.0, ge=0, le=1, description="Rows that score lower are dropped.")

    @field_validator("scorer")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SCORERS:
            raise ValueError(f"is not a quality scorer; there are: {', '.join(SCORERS)}")
        return name

    def clean(self, row: Conversation) -> Conversation | str:
        score = SCORERS[self.scorer](row)
        if score < self.least:
            return f"scores too low: {score:.2f}"
        return tagged(row, f"quality:{score:.1f}")


@SCORERS.add("heuristic")
def heuristic(row: Conversation) -> float:
    """How an answer looks, not whether it is right: the geometric mean of four looks.

    Length (a dozen words or more is whole, one word is half), an end that ends, few odd marks, and how many of its
    words are not the question's."""
    said, asked = answer(row), question(row)
    if not said.strip():
        return 0.0
    count = count_words(said)
    length = min(1.0, 0.5 + 0.5 * math.log(count) / math.log(12)) if count else 0.0
    end = 1.0 if count < 6 or re.search(r"[.!?。！？…:：`\"'”’)\]）」』|\d]\s*\Z", said) else 0.5
    marks = len(_MARKS.findall(said)) / len(said)
    clean = 1.0 if marks < 0.15 else max(0.0, 1.0 - 2 * (marks - 0.15))
    words = set(said.lower().split())
    new = len(words.difference(asked[:4000].lower().split())) / len(words)
    return round(math.sqrt(math.sqrt(length * end * clean * min(1.0, 2 * new))), 3)
