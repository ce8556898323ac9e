"""A fresh model from a configuration: is it one, and how large is it? Nothing is allocated to find out.

    size_of({"model_type": "llama", "hidden_size": 128, ...}).parameters          1508480

The model is built on the meta device, where tensors have shapes and no values, and reads a few tokens there. So a slip
in a recipe is told when the recipe is checked, and not after the build.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.models.hf.loading import build
from tunesmith.models.load import load_config

SMALL = 100_000_000
"""Parameters of a model that may be built in memory to see whether it can read."""
TOKENS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is."""

    parameters: int
    in_embeddings: int

    def __str__(self) -> str:
        return f"{_short(self.parameters)} parameters, {_short(self.in_embeddings)} of them in embeddings"


def size_of(fields: Mapping[str, Any]) -> Size:
    """The size of the model that a configuration describes, or why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _built(fields, "meta")
        if not _reads(model, "meta"):
            # Some models look at values while they compute, and there are none here; then a real one has to read.
            small = _count(model) <= SMALL
            if small:
                _reads_or_says_why(_built(fields, "cpu"))
    embeddings = model.get_input_embeddings()
    return Size(_count(model), sum(p.numel() for p in embeddings.parameters()))


def _built(fields: Mapping[str, Any], device: str) -> Any:
    try:
        config = load_config(fields)
        with torch.no_grad():
            return build(config, empty=device == "meta").train(False)
    except TunesmithError:
        raise
    except Exception as error:  # a configuration may be wrong in as many ways as there are architectures
        raise TrainError(f"no model can be made of this configuration: {_said(error)}") from None


def _reads(model: Any, device: str) -> bool:
    try:
        _read(model, device)
    except Exception:  # whatever it is: see above
        return False
    return True


def _reads_or_says_why(model: Any) -> None:
    try:
        _read(model, "cpu")
    except Exception as error:  # as above
        raise TrainError(f"a model of this configuration cannot read a text: {_said(error)}") from None


def _read(model: Any, device: str) -> None:
    ids = torch.zeros(1, TOKENS, dtype=torch.long, device=device)
    more = {"decoder_input_ids": ids[:, :1]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        model(input_ids=ids, **more)


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _said(error: Exception) -> str:
    """The last and inmost line of an error, with its kind where the line alone says little."""
    inner = error.__cause__ or error
    text = str(inner).strip().splitlines()
    line = text[-1].strip() if text else ""
    return line[:300] if len(line) > 25 else f"{type(inner).__name__} {line}"


def _short(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
