"""The policy of a model: for models of layers alone, and for those of an encoder and a decoder."""

from __future__ import annotations

from transformers import PreTrainedModel

from tunesmith.models.policy import Policy
from tunesmith.models.seq2seq import Seq2SeqPolicy


def policy_of(model: PreTrainedModel, *, noise: float = 0.0) -> Policy:
    """The policy that fits a model."""
    kind = Seq2SeqPolicy if model.config.is_encoder_decoder else Policy
    return kind(model, noise=noise)
