"""The objective ``focal``: tokens that the model predicts well already count less (Lin et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

import tunesmith as ts

GAMMA = 1.0
"""0 is plain fine-tuning; the higher, the less the well predicted tokens count."""


@ts.objective("focal")
class Focal:
    """Like ``sft``, with each token's loss times (1 - p) ** GAMMA, where p is the probability of the token."""

    def usable(self, source: ts.TokenStore) -> NDArray[np.bool_]:
        """Rows with at least one token in the loss."""
        mask: NDArray[np.bool_] = source.learned > 0
        return mask

    def batch(
        self, rows: Sequence[ts.Row], sources: Mapping[str, ts.TokenStore], device: torch.device | str
    ) -> ts.Batch:
        return ts.collate(rows, sources, device=device)

    def weight(self, batch: ts.Batch) -> float:
        """What the summed loss is divided by, over the whole global batch."""
        return float(batch.learned)

    def loss(self, policy: ts.Policy, batch: ts.Batch) -> ts.Loss:
        hidden = policy.hidden(batch.ids, batch.packed)[batch.at]
        logp = policy.logits_of(hidden).float().log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
        each = -logp * (1 - logp.exp()) ** GAMMA
        return ts.Loss(each.sum(), self.weight(batch), each.detach())
