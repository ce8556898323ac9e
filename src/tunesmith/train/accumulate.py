"""The gradient of a global batch, over any number of passes and ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.core.errors import NonFiniteLoss, TrainError
from tunesmith.models.policy import Policy
from tunesmith.train.batch import Batch
from tunesmith.train.objective import Loss, Objective, loss_of
from tunesmith.train.optim import Weights


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What a global batch has given, over all ranks."""

    loss: float
    learned: float
    sources: Mapping[str, tuple[float, float]]
    """(summed loss, weight) of each source."""


def accumulate(
    policy: Policy, objective: Objective, batches: Sequence[Batch], weights: Weights, *, idle: Sequence[Batch] = ()
) -> Accumulated:
    """Put the gradient of the mean loss over all ``batches`` of all ranks into ``weights.grad``.

    The mean is over the weight of all of them together, known before the first is computed, so it does not matter how
    a global batch was cut. ``idle`` is computed for the company of other ranks and counts for nothing.
    """
    ranks = weights.ranks
    (weight,) = ranks.sums(sum(objective.weight(b) for b in batches))
    if weight <= 0:
        raise TrainError("A global batch teaches nothing. Raise batch_tokens.")
    total = 0.0
    by_source: dict[str, tuple[float, float]] = {}
    for batch in batches:
        loss = loss_of(policy, objective, batch)
        total += float(loss.total.detach())
        (loss.total / weight).backward()  # type: ignore[no-untyped-call]
        weights.collect()
        for name, (lost, counted) in _of_sources(batch, loss).items():
            before = by_source.get(name, (0.0, 0.0))
            by_source[name] = before[0] + lost, before[1] + counted
    for batch in idle:
        (loss_of(policy, objective, batch).total * 0).backward()  # type: ignore[no-untyped-call]
        weights.collect()
    weights.gather()
    (total,) = ranks.sums(total)
    if not math.isfinite(total):
        raise NonFiniteLoss(f"The loss is {total}.")
    return Accumulated(total / weight, weight, by_source)


def _of_sources(batch: Batch, loss: Loss) -> dict[str, tuple[float, float]]:
    """The summed loss and the weight of each source in a batch."""
    if loss.each is None:
        return {}
    names = [item.source for item in batch.items]
    kinds = {name: i for i, name in enumerate(dict.fromkeys(names))}
    owner = np.array([kinds[name] for name in names])[batch.owners]
    lost = np.bincount(owner, loss.each.double().cpu().numpy(), len(kinds))
    counted = np.bincount(owner, minlength=len(kinds))
    return {name: (float(lost[i]), float(counted[i])) for name, i in kinds.items() if counted[i]}
