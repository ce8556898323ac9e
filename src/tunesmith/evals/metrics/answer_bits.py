"""How well a model predicts the given answer, in bits per byte: for free text that no model matches exactly.

Lower is better. It is the loss on held-out answers; the model's own answer does not matter. The only option of the row
must be its answer, as ``open_ended`` asks it. It is nan if the answer exceeds the model's max length.
"""

from __future__ import annotations

import math

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer

NAME = "answer_bits"


@METRICS.add(NAME)
def answer_bits(answer: Answer, row: Conversation) -> float:
    """Bits per byte of the answer, its end token included."""
    if not answer.likely:
        return math.nan
    return -answer.likely[0] / math.log(2) / max(1, len(row.options[0].encode()))
