"""ROUGE-L of two lists of words: the operations of ``rouge_score`` in the same order, for the same last digit.

The longest common subsequence is found with whole rows of the table as bits of one number (Hyyro 2004).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

Word = TypeVar("Word", bound=Hashable)


def masks(words: Sequence[Word]) -> dict[Word, int]:
    """For each word the places where it stands, as bits."""
    found: dict[Word, int] = {}
    for place, word in enumerate(words):
        found[word] = found.get(word, 0) | 1 << place
    return found


def longest(words: Sequence[Word], masks: dict[Word, int], size: int) -> int:
    """The length of the longest common subsequence with the text that the masks are of."""
    everything = (1 << size) - 1
    row = everything
    for word in words:
        hit = row & masks.get(word, 0)
        row = ((row + hit) | (row - hit)) & everything
    return size - row.bit_count()


def f_measure(common: int, target: int, prediction: int) -> float:
    """The F measure of so many words in common."""
    precision, recall = common / max(prediction, 1), common / max(target, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
