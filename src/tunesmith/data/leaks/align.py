"""Align a training row with a question: spans of equal words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.leaks.index import SHINGLE
from tunesmith.data.text.words import plain

_SIGNED = re.compile(r"([-+*/^=<>%×÷−])\s*(?=[\d.(])")


def signs(texts: Iterable[str]) -> list[str]:
    """The signs that stand before numbers, which are no words but make another question."""
    return [("-" if sign == "−" else sign) for text in texts for sign in _SIGNED.findall(plain(text))]


def aligned(asked: NDArray[np.int64], row: NDArray[np.int64], hits: NDArray[np.int64]) -> tuple[float, int, int]:
    """How like the question the likest stretch of the row is, and where that begins and ends.

    ``hits`` are the words of the row at which a shingle of the question begins, in order. The stretch is sought
    where they are densest; what is equal in it is counted word by word.
    """
    length = len(asked)
    slack = max(SHINGLE, length // 5)
    dense = np.searchsorted(hits, hits + length + slack) - np.arange(len(hits))
    first = int(hits[int(np.argmax(dense))])
    start = max(first - slack, 0)
    stretch = row[start : first + length + 2 * slack].tolist()
    blocks = difflib.SequenceMatcher(None, asked.tolist(), stretch, autojunk=False).get_matching_blocks()[:-1]

    def likeness() -> float:
        wide = blocks[-1].b + blocks[-1].size - blocks[0].b
        return 2 * sum(block.size for block in blocks) / (length + wide)

    # A chance word at the edge makes the stretch wider than what matches: drop edges while that makes it more alike.
    best = likeness()
    for edge in (0, -1):
        while len(blocks) > 1:
            dropped = blocks.pop(edge)
            if likeness() <= best:
                blocks.insert(0 if edge == 0 else len(blocks), dropped)
                break
            best = likeness()
    return best, start + blocks[0].b, start + blocks[-1].b + blocks[-1].size


def covered_words(places: NDArray[np.int64], widths: NDArray[np.int64]) -> int:
    """How many words windows at these places cover together."""
    order = np.argsort(places, kind="stable")
    starts = places[order]
    stops = np.maximum.accumulate(starts + widths[order])
    before = np.append(starts[:1], stops[:-1])
    return int(np.maximum(stops - np.maximum(before, starts), 0).sum())


def longest_stretch(at: NDArray[np.int64], places: NDArray[np.int64], widths: NDArray[np.int64]) -> tuple[int, int]:
    """The longest stretch of the row that windows one after the other cover, both in the row and in the item."""
    order = np.lexsort((at, at - places))
    at, diagonal, widths = at[order], (at - places)[order], widths[order]
    breaks = np.flatnonzero((np.diff(diagonal) != 0) | (np.diff(at) > widths[:-1])) + 1
    begins, ends = np.append(0, breaks), np.append(breaks, len(at)) - 1
    lengths = at[ends] + widths[ends] - at[begins]
    best = int(np.argmax(lengths))
    return int(at[begins[best]]), int(at[begins[best]] + lengths[best])
