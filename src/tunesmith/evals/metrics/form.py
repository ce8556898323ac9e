"""Does the answer have the requested form, whatever its content?

"In exactly three words", "in capital letters", "as a numbered list": the right answer shows the form, so
an answer is in form when it agrees with a right one in its number of lines, the marks that lines begin
with, its letter case, its closing mark, and its number of words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy

_MARK = re.compile(r"^(?:[-*•]|\d+[.)])(?= )")
# A Chinese character counts as a word: there are no spaces to count by.
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’\-][^\W\u3400-\u9fff]+)*")


class Form(NamedTuple):
    """The visible form of a text."""

    marks: tuple[str, ...]
    words: int
    case: str
    closing: str


def form_of(text: str) -> Form:
    """The form of a text."""
    lines = tidy(text).splitlines()
    marks = tuple((found.group() if (found := _MARK.match(line)) else "") for line in lines)
    body = "\n".join(_MARK.sub("", line) for line in lines).strip()
    case = "upper" if body.isupper() else "lower" if body.islower() else "mixed"
    closing = body[-1] if body and not body[-1].isalnum() else ""
    return Form(marks, len(_WORD.findall(body)), case, closing)


@METRICS.add("form")
def form(answer: Answer, row: Conversation) -> float:
    """1 where the answer has the form of a right one."""
    return float(answer.finished and form_of(answer.text) in {form_of(gold) for gold in row.answers})
