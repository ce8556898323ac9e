"""New tokens for a model: room for them in its embeddings, and a good place to begin.

    extend(model, [32000, 32001], seed=1)

A row of zeros or noise far from all others makes the first steps wild; the mean of the rows that are there is where
the model is least surprised. Each new token gets that, and a little noise of its own, so that they can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

NOISE = 0.02
"""Of the spread of the known rows, in each of their dimensions."""


@torch.no_grad()
def extend(model: PreTrainedModel, new_ids: Sequence[int], *, seed: int = 0) -> None:
    """Make room for these tokens, and set their rows, in the output layer too where that has rows of its own."""
    if not new_ids:
        return
    asked: Any = model
    before = int(asked.get_input_embeddings().num_embeddings)
    if max(new_ids) >= before:
        asked.resize_token_embeddings(max(new_ids) + 1, mean_resizing=False)
    fresh = torch.tensor(sorted(new_ids))
    known = torch.ones(before, dtype=torch.bool)
    known[fresh[fresh < before]] = False
    generator = torch.Generator().manual_seed(seed)
    layers = [asked.get_input_embeddings(), asked.get_output_embeddings()]
    weights = {id(layer.weight): layer.weight for layer in layers if layer is not None}
    for weight in weights.values():
        old = weight[:before][known.to(weight.device)].float()
        noise = torch.randn(len(fresh), weight.shape[1], generator=generator).to(weight.device)
        rows = old.mean(0) + NOISE * old.std(0) * noise
        weight[fresh.to(weight.device)] = rows.to(weight.dtype)
    bias = getattr(layers[1], "bias", None)
    if bias is not None:
        bias[fresh.to(bias.device)] = bias[:before][known.to(bias.device)].mean()
