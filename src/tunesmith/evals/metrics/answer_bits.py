"""How well a model predicts the given answer, in bits for each byte of it: for answers that nobody repeats.

Less is better. It is the loss on held-out answers, and says nothing of what the model wrote itself. The one option of
the row has to be its answer; ``open_ended`` asks in that way. It is nan where the answer does not fit into the model.
"""

from __future__ import annotations

import math

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer

NAME = "answer_bits"


@METRICS.add(NAME)
def answer_bits(answer: Answer, row: Conversation) -> float:
    """Bits for each byte of the answer, its end included."""
    if not answer.likely:
        return math.nan
    return -answer.likely[0] / math.log(2) / max(1, len(row.options[0].encode()))
