"""Which rows are learned from, in which order, and which are kept apart for validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.plan import Plan, TokenStore
from tunesmith.train.objective import Objective
from tunesmith.train.settings import TrainSettings
from tunesmith.train.validation import apart


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of a run, and the rows that are not in it."""

    plan: Plan
    usable: Mapping[str, NDArray[np.bool_]]
    """The rows of each source that teach anything under the objective."""
    held_back: Mapping[str, NDArray[np.bool_]]
    """Those of them that are kept for validation."""


def planned(
    goal: Objective, sources: Mapping[str, TokenStore], shares: Mapping[str, float], settings: TrainSettings
) -> Planned:
    """The plan that follows from rows, shares and settings alone. ``settings`` have a number of steps."""
    usable = {name: goal.usable(store) for name, store in sources.items()}
    held_back = apart(sources, usable, settings.validation)
    plan = Plan(
        {name: store.lengths for name, store in sources.items()},
        shares,
        seed=settings.seed,
        batch_tokens=settings.batch_tokens,
        row_length=settings.row_length,
        steps=settings.steps,
        keep={name: mask & ~held_back[name] for name, mask in usable.items()},
    )
    return Planned(plan, usable, held_back)
