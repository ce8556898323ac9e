"""Named random streams: every random choice of a run is drawn from (seed, name), never from hidden state.

Two streams with different names are independent, and a stream does not move because another one was
used. That is why a run that was killed, or that has one more source, still draws the same numbers
everywhere else.
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the stream ``name`` of a run, for example ``seed_of(0, "order", "qa", 3)``."""
    key = repr((int(seed), *name)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def generator(seed: int, *name: str | int) -> np.random.Generator:
    """A fresh NumPy generator for the stream ``name``."""
    return np.random.Generator(np.random.Philox(seed_of(seed, *name)))
