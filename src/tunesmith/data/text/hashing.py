"""Hashes of texts that are the same in every process and on every machine, and random draws from them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def hash64(text: str) -> int:
    """64 bits that a text always has."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def order(seed: int, name: str) -> int:
    """Where a draw takes what is called ``name``: the same for a seed, whatever else there is."""
    return hash64(f"{seed}|{name}")


def first(names: Iterable[str], count: int, seed: int) -> set[str]:
    """So many of these names, by their order; fewer are part of more."""
    return set(sorted(names, key=lambda name: order(seed, name))[:count])
