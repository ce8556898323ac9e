"""Linear layers of any class: ``nn.Linear``, and those that hold their weight the other way round (GPT-2).

Which way round it is held is found by trying the layer on one input, so that no class has to be known by name.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def is_linear(layer: nn.Module) -> bool:
    """Whether a module is one matrix and perhaps a bias, and nothing else."""
    return isinstance(layer, nn.Linear) or transposed(layer)


def matrix(layer: nn.Module) -> Tensor:
    """The weight of a linear layer as [outputs, inputs]."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.t() if transposed(layer) else weight


@torch.no_grad()
def transposed(layer: nn.Module) -> bool:
    """Whether a layer computes x W + b, with W [inputs, outputs]."""
    if isinstance(layer, nn.Linear | nn.Embedding) or next(layer.children(), None) is not None:
        return False
    held = dict(layer.named_parameters(recurse=False))
    weight = held.pop("weight", None)
    if weight is None or weight.ndim != 2 or set(held) - {"bias"} or any(True for _ in layer.buffers(recurse=False)):
        return False
    kind = type(layer)
    if kind not in _tried:
        if weight.is_meta:
            layer = _with_values(layer)
            held = dict(layer.named_parameters(recurse=False))
            weight = held.pop("weight")
        _tried[kind] = _says(layer, weight, held.get("bias"))
    return _tried[kind]


def _with_values(layer: nn.Module) -> nn.Module:
    """A copy of a layer of the meta device, with some values, so that it can be tried."""
    copied = copy.deepcopy(layer).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in copied.parameters():
        parameter.normal_(generator=generator)
    return copied


def _says(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> bool:
    if bias is not None and bias.shape != weight.shape[1:]:
        return False  # it is held as nn.Linear holds it, in a class that does more (a router of experts)
    x = torch.linspace(-1, 1, weight.shape[0], device=weight.device, dtype=weight.dtype)[None]
    wanted = x @ weight + (0 if bias is None else bias)
    try:
        said = layer(x)
    except Exception:  # whatever it is, it does not take what a linear layer takes
        return False
    if not isinstance(said, Tensor) or said.shape != wanted.shape:
        return False
    return float((said - wanted).abs().max()) <= 0.02 * float(wanted.abs().max())


_tried: dict[type[nn.Module], bool] = {}
