"""Rows that are kept from training, and the loss on them.

apart(stores, usable, 200)     which rows: chosen by their names, all wordings of an example together
validate(machine, ...)         the mean loss on them
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tunesmith.core.errors import DataError
from tunesmith.models.policy import Policy
from tunesmith.plan import Item, Row, TokenStore
from tunesmith.train.objective import Objective, loss_of
from tunesmith.train.parallel import Ranks

_MOST = 0.1
"""Of a source, at most this share is kept apart."""


@dataclass
class Best:
    """The step with the lowest loss on what is not trained on."""

    step: int = 0
    loss: float = float("inf")

    def see(self, step: int, loss: float) -> bool:
        """Whether this one is better than all before it."""
        if not loss < self.loss:
            return False
        self.step, self.loss = step, loss
        return True


def apart(
    sources: Mapping[str, TokenStore], usable: Mapping[str, NDArray[np.bool_]], count: int
) -> dict[str, NDArray[np.bool_]]:
    """The rows of each source that are kept apart: about ``count`` in all, of each source in proportion."""
    total = sum(int(mask.sum()) for mask in usable.values())
    found = {}
    for name, store in sources.items():
        rows = np.flatnonzero(usable[name])
        wanted = int(min(len(rows) * _MOST, -(-len(rows) * count // max(1, total)))) if count else 0
        mask = np.zeros(len(store), dtype=np.bool_)
        if wanted:
            # ``example@wording``: an example that is kept apart in one wording is so in all.
            keys = [hashlib.blake2b(store.names[int(i)].split("@")[0].encode(), digest_size=8).digest() for i in rows]
            limit = sorted(set(keys))[: max(1, wanted * len(set(keys)) // len(keys))][-1]
            mask[rows[[key <= limit for key in keys]]] = True
        found[name] = mask
    if count and not any(mask.any() for mask in found.values()):
        raise DataError(
            f"validation: of {total:,} rows none can be kept apart; a source gives a tenth of its rows at most. "
            "Set it to 0, or train on more."
        )
    return found


@torch.no_grad()
def validate(
    policy: Policy,
    objective: Objective,
    sources: Mapping[str, TokenStore],
    items: Sequence[Item],
    ranks: Ranks,
    at_once: int,
) -> float:
    """The mean loss over what these rows teach."""
    rows: list[Row] = [()]
    held = 0
    for item in sorted(items, key=lambda item: len(sources[item.source][item.index].ids)):
        length = len(sources[item.source][item.index].ids)
        if held and held + length > at_once:
            rows.append(())
            held = 0
        rows[-1], held = (*rows[-1], item), held + length
    mine = rows[ranks.rank :: ranks.size]
    passes = -(-len(rows) // ranks.size)
    total = weight = 0.0
    policy.model.train(False)
    for k in range(passes):
        batch = objective.batch(mine[k : k + 1] or rows[:1], sources, ranks.device)
        loss = loss_of(policy, objective, batch)
        if k < len(mine):
            total, weight = total + float(loss.total), weight + loss.weight
    policy.model.train(True)
    total, weight = ranks.sums(total, weight)
    return total / weight
