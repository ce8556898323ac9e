"""SQuAD's rules (Rajpurkar et al. 2016): small letters, no punctuation, no articles; the same text, or shared words.

In Chinese the characters are the words, as in CMRC.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from tunesmith.core.types import Conversation
from tunesmith.data.clean.novelty import spread
from tunesmith.evals.metrics.metric import METRICS, Answer

_MARKS = re.compile(rf"[{re.escape(string.punctuation)}]")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def unmarked(text: str) -> str:
    """A text in small letters, without punctuation."""
    return _MARKS.sub("", text.lower())


def plainly(text: str) -> str:
    """A text as SQuAD compares it."""
    return " ".join(_ARTICLES.sub(" ", unmarked(text)).split())


def _words(text: str, language: str) -> list[str]:
    return spread(text) if language == "zh" else plainly(text).split()


@METRICS.add("squad_exact")
def squad_exact(answer: Answer, row: Conversation) -> float:
    """1 where the answer is a right one by SQuAD's rules."""
    return float(plainly(answer.text) in {plainly(gold) for gold in row.answers})


@METRICS.add("squad_f1")
def squad_f1(answer: Answer, row: Conversation) -> float:
    """The words that answer and gold share, as an F measure; the best over the right answers."""
    said = _words(answer.text, row.language)
    return max((_f1(said, _words(gold, row.language)) for gold in row.answers), default=0.0)


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    same = (Counter(said) & Counter(gold)).total()
    return 2 * same / (len(said) + len(gold))
