"""Learn the tokens that the encoder marked: the assistant's turns, and rehearsal text where it is mixed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tunesmith.models.policy import Policy
from tunesmith.plan import Row, TokenStore
from tunesmith.train.batch import Batch, collate
from tunesmith.train.objective import OBJECTIVES, Loss


class Sft:
    """Supervised fine-tuning. Each learned token counts the same, wherever it stands."""

    def usable(self, source: TokenStore) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = source.learned > 0
        return mask

    def batch(self, rows: Sequence[Row], sources: Mapping[str, TokenStore], device: torch.device | str) -> Batch:
        return collate(rows, sources, device=device)

    def weight(self, batch: Batch) -> float:
        return float(batch.learned)

    def loss(self, policy: Policy, batch: Batch) -> Loss:
        hidden = policy.hidden(batch.ids, batch.packed)
        total, each = policy.token_losses(hidden[batch.at], batch.targets)
        return Loss(total, self.weight(batch), each)


OBJECTIVES.add("sft")(Sft())
