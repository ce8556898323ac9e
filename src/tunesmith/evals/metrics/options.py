"""Is the likeliest of the options a right one?

This tests what a model knows, without requiring that it can write it, as T0 and FLAN evaluate choices. The likeliest
option depends on how options of different lengths are compared, so there is a metric for each way:

    options        the whole option's probability (``acc`` of lm-evaluation-harness)
    options_norm   its logarithm over the option's characters (``acc_norm``; the delimiter before it is not counted)
    options_byte   over its bytes, which is fairer between scripts
    options_pmi    how much likelier the question makes it than no question does (Holtzman et al. 2021)
"""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy


def chosen(answer: Answer, row: Conversation, metric: str = "options") -> str:
    """The option that is likeliest, the way that ``metric`` compares; the first of several. "" where none were
    ranked."""
    if not answer.likely:
        return ""
    return max(zip(_compared(answer, row.options, metric), row.options, strict=True), key=lambda pair: pair[0])[1]


def _compared(answer: Answer, options: Sequence[str], metric: str) -> list[float]:
    likely = answer.likely
    if metric == "options_norm":
        return [x / len(option) for x, option in zip(likely, options, strict=True)]
    if metric == "options_byte":
        return [x / len(option.encode("utf-8", "surrogatepass")) for x, option in zip(likely, options, strict=True)]
    if metric == "options_pmi":
        if not answer.unasked:
            raise EvalError(
                "options_pmi needs to know how likely options are without a question: ask with unasked=True."
            )
        return [x - y for x, y in zip(likely, answer.unasked, strict=True)]
    return list(likely)


def _right(answer: Answer, row: Conversation, metric: str) -> float:
    return float(bool(answer.likely) and tidy(chosen(answer, row, metric)) in {tidy(gold) for gold in row.answers})


@METRICS.add("options")
def options(answer: Answer, row: Conversation) -> float:
    """1 where the likeliest option is a right answer."""
    return _right(answer, row, "options")


@METRICS.add("options_norm")
def options_norm(answer: Answer, row: Conversation) -> float:
    """The same, character by character."""
    return _right(answer, row, "options_norm")


@METRICS.add("options_byte")
def options_byte(answer: Answer, row: Conversation) -> float:
    """The same, byte by byte."""
    return _right(answer, row, "options_byte")


@METRICS.add("options_pmi")
def options_pmi(answer: Answer, row: Conversation) -> float:
    """The same, against how likely each is without a question."""
    return _right(answer, row, "options_pmi")
