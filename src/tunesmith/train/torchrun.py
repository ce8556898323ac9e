"""Which process of a run this is, as torchrun says in the environment. Light to import."""

from __future__ import annotations

import os


def rank() -> int:
    """The number of this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """How many processes the run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))
