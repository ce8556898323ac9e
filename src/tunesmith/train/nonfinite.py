"""Which documents made a loss that is not a number: each of the batch is computed alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tunesmith.core.errors import NonFiniteLoss
from tunesmith.models.policy import Policy
from tunesmith.plan import Row, TokenStore
from tunesmith.train.objective import Objective, loss_of
from tunesmith.train.parallel import Ranks


@torch.no_grad()
def blame(
    error: NonFiniteLoss,
    step: int,
    policy: Policy,
    objective: Objective,
    rows: Sequence[Row],
    sources: Mapping[str, TokenStore],
    ranks: Ranks,
    out: Path,
) -> NonFiniteLoss:
    """Name the documents whose own loss is not finite; where none is alone to blame, all of the batch.

    All ranks look at all documents, since those of a divided model can only compute together.
    """
    guilty = []
    items = [item for row in rows for item in row]
    for item in items:
        alone = objective.batch([(item,)], sources, ranks.device)
        if not math.isfinite(float(loss_of(policy, objective, alone).total)):
            guilty.append(item)
    if guilty:
        who = f"It comes from {len(guilty)} of the {len(items)} documents of this batch:"
    else:
        who = f"No single document does it; the batch held {len(items)}:"
    names = [f"{i.source}: {sources[i.source].names[i.index]}" for i in (guilty or items)]
    shown = "\n  ".join(names[:50] + (["..."] if len(names) > 50 else []))
    return NonFiniteLoss(
        f"{error} Step {step + 1} was not taken. {who}\n  {shown}\n"
        "Look at these rows, or lower lr; the run goes on from its newest checkpoint in "
        f"{out / 'checkpoints'}."
    )
