"""Is the number right that an answer ends with? (GSM8K and its like.)

What counts stands after the last ``####`` or "the answer is"; where neither is, it is the last number of the text.
Commas, currency, per cent and a closing full stop do not matter, and 7 is 7.0. A Chinese text may write it full width.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer

_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-−]?\.\d+")
_SAID = re.compile(r"####|\b(?:the|final) answer(?: is|:)|答案是|答案为|答案：|答案:", re.IGNORECASE)


def number_of(text: str) -> Decimal | None:
    """The number that a text gives as its answer."""
    text = unicodedata.normalize("NFKC", text)
    *before, last = _SAID.split(text)
    found = _NUMBER.findall(last)
    # After the mark the first number counts, "#### 42 apples in 3 boxes"; without one, the last.
    chosen = (found[0] if before else found[-1]) if found else next(reversed(_NUMBER.findall(text)), None)
    if chosen is None:
        return None
    try:
        return Decimal(chosen.replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None


@METRICS.add("number")
def number(answer: Answer, row: Conversation) -> float:
    """1 where the number is that of a right answer."""
    said = number_of(answer.text)
    return float(said is not None and said in {number_of(gold) for gold in row.answers})
