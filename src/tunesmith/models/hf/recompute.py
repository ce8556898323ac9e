"""Layers that are computed again in the backward pass, so that what is inside of them is not kept."""

from __future__ import annotations

from transformers import PreTrainedModel

from tunesmith.errors import TrainError
from tunesmith.models.hf.changed import Changed

_METHODS = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
"""What releases have called it, the newest first."""


def recompute_layers(model: PreTrainedModel) -> None:
    """From now on, keep only what goes into each layer."""
    for name in _METHODS:
        method = getattr(model, name, None)
        if method is not None:
            try:
                method({"use_reentrant": False})
            except ValueError:
                kind = type(model).__name__
                raise TrainError(f"{kind} cannot compute its layers again: leave recompute out.") from None
            return
    raise Changed(f"{type(model).__name__} has no method to compute its layers again ({', '.join(_METHODS)}).")
