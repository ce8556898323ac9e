"""ROUGE-L as in Super-NaturalInstructions: the longest common subsequence of an answer and a right one.

The words of English are stemmed and stripped of all but letters a to z and digits; those of other languages stand
between white space, and those of Chinese are its characters. The score is the F measure, the best over the right
answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.core.types import Conversation
from tunesmith.data.clean.novelty import plain, spread
from tunesmith.data.clean.rouge import f_measure, longest, masks
from tunesmith.evals.metrics.metric import METRICS, Answer
from tunesmith.evals.metrics.stemmer import stem


def tokens(text: str, language: str) -> list[str]:
    """The words that are compared."""
    if language == "en":
        return [stem(word) if len(word) > 3 else word for word in plain(text)]
    return spread(text) if language == "zh" else text.split()


def score(said: Sequence[str], gold: Sequence[str]) -> float:
    """The F measure of two lists of words."""
    short, other = sorted((said, gold), key=len)
    return f_measure(longest(other, masks(short), len(short)), len(gold), len(said))


@METRICS.add("rouge_l")
def rouge_l(answer: Answer, row: Conversation) -> float:
    """The best ROUGE-L with a right answer."""
    said = tokens(answer.text, row.language)
    return max((score(said, tokens(gold, row.language)) for gold in row.answers), default=0.0)
