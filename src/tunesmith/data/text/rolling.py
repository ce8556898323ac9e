"""Hashes of all stretches of a long text at once: a polynomial whose stretches are differences of two running sums.

    found = sums(values)                      of letters, or of the hashes of words
    stretches(found, starts, ends)            the hash of each stretch [start, end)
    windows(found, 13)                        of every 13 values in a row

They depend on the values alone, so every process and every machine finds the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BASE = 0x9E3779B97F4A7C15


class _Powers:
    """The powers of the base and of its inverse modulo 2^64, for texts up to a length that grows as needed."""

    def __init__(self) -> None:
        self.up: NDArray[np.uint64] = np.ones(0, np.uint64)
        self.down = self.up

    def reach(self, length: int) -> None:
        if length <= len(self.up):
            return
        size = 1 << max(12, length.bit_length())
        for name, base in (("up", BASE), ("down", pow(BASE, -1, 1 << 64))):
            factors = np.full(size, base, np.uint64)
            factors[0] = 1
            setattr(self, name, np.cumprod(factors, dtype=np.uint64))


_POWERS = _Powers()


def sums(values: NDArray[Any]) -> NDArray[np.uint64]:
    """The running sums of the values, each times its power; one more than there are values."""
    _POWERS.reach(len(values) + 1)
    found = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _POWERS.up[: len(values)], out=found[1:])
    return found


def stretches(found: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hash of each stretch."""
    hashes: NDArray[np.uint64] = (found[ends] - found[starts]) * _POWERS.down[starts]
    return hashes


def windows(found: NDArray[np.uint64], width: int) -> NDArray[np.uint64]:
    """The hash of every window of so many values."""
    count = max(len(found) - width, 0)
    hashes: NDArray[np.uint64] = (found[width:] - found[:count]) * _POWERS.down[:count]
    return hashes
