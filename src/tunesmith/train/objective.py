"""What a training objective is, and the registry of them.

An objective turns rows of the plan into batches and a batch into a summed loss. It does not average,
accumulate, clip or step: the loop alone does, dividing by the weight of the whole global batch, so that every
objective is right under any accumulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.core.registry import Registry
from tunesmith.models.policy import Policy
from tunesmith.plan import Row, TokenStore
from tunesmith.train.batch import Batch


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss summed over ``weight`` units (for language models: learned tokens)."""

    total: Tensor
    weight: float
    each: Tensor | None = None
    """The loss of each of the batch's targets, to be told apart by source. Nothing is learned from it."""


class Objective(Protocol):
    """pretrain, sft, and what comes after them."""

    def usable(self, source: TokenStore) -> NDArray[np.bool_]:
        """Which rows of a source teach anything; the others are left out and counted."""

    def batch(self, rows: Sequence[Row], sources: Mapping[str, TokenStore], device: torch.device | str) -> Batch:
        """Lay rows out for one forward pass."""

    def weight(self, batch: Batch) -> float:
        """What ``loss`` will give as weight, known before anything is computed."""

    def loss(self, policy: Policy, batch: Batch) -> Loss:
        """The summed loss."""


OBJECTIVES: Registry[Objective] = Registry("Objective", room="train")


def loss_of(policy: Policy, objective: Objective, batch: Batch) -> Loss:
    """The loss of a batch. What goes through ``policy.run`` is a tensor, so that a divided model sees it."""
    found: list[Loss] = []

    def compute() -> Tensor:
        found.append(objective.loss(policy, batch))
        return found[0].total

    total = policy.run(compute)
    return replace(found[0], total=total)
