"""The memory that a training needs besides activations: weights, gradients, optimizer state, adapter.

    need = memory({"model_type": "qwen3", ...}, settings, torch.bfloat16)
    need.total, need.frozen, need.weights, need.gradients, need.optimizer         bytes

The model is built on the meta device, where tensors have shapes and no values, so that an 8B model costs no memory to
look at. What is counted is what ``optim`` and ``lowrank`` allocate on one process. Activations, logits and what is made
for a moment (a gathered weight, Muon's work space) come on top.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunesmith.models.adapter import Adapter
from tunesmith.models.hf.linear import matrix
from tunesmith.models.hf.loading import build
from tunesmith.models.load import ModelSource, load_config
from tunesmith.models.lowrank import freeze, targets
from tunesmith.train.eightbit import shared_by
from tunesmith.train.optim import INNER, Kind
from tunesmith.train.settings import TrainSettings

FULL = 4
"""Bytes of a float32: of each number of a gradient or a moment, and of each trained weight, in one part or two."""
FOUR_BIT_BLOCK, SCALE_BLOCK = 64, 256
"""Neighbours that share a scale in NF4, and scales that share one when they are put into eight bits."""
CODES = 16 * FULL + 256 * FULL + FULL
"""Bytes of the tables that bitsandbytes keeps with each matrix in four bits."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of each part."""

    frozen: int
    """Weights that are not trained, as they are held: in the precision of computing, or in four bits."""
    weights: int
    """Weights that are trained, with what keeps them exact in bf16."""
    gradients: int
    optimizer: int
    trained: int
    """How many numbers are trained; the only figure here that is no bytes."""
    precision: str

    @property
    def total(self) -> int:
        return self.frozen + self.weights + self.gradients + self.optimizer

    def parts(self) -> str:
        """In words: ``16.38 frozen weights + 0.17 trained weights + 0.17 gradients + 0.35 optimizer``, in GB."""
        named = (
            ("frozen weights", self.frozen),
            ("trained weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
        )
        return " + ".join(f"{size / 1e9:.2f} {name}" for name, size in named if size)


def memory(model: ModelSource, settings: TrainSettings, dtype: torch.dtype) -> Memory:
    """What training a model needs on one process. ``model`` is a folder or a configuration; ``dtype`` is the precision
    that is computed in, bfloat16 or float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net: Any = build(load_config(model), empty=True)
    held = dtype.itemsize
    if settings.adapter:
        frozen, trained = _with_adapter(net, settings.adapter, held)
        kind: Kind = "adamw" if settings.optimizer == "auto" else settings.optimizer
        groups = [(shape, INNER[kind] if len(shape) == 2 else "vector") for shape in trained]
    else:
        if settings.freeze:
            freeze(net, settings.freeze)
        kind = "muon" if settings.optimizer == "auto" else settings.optimizer
        shared = {id(m.weight) for m in net.modules() if isinstance(m, nn.Embedding)}
        head = net.get_output_embeddings()
        shared |= {id(head.weight)} if head is not None else set()
        frozen, groups = 0, []
        for parameter in net.parameters():
            if not parameter.requires_grad:
                frozen += parameter.numel() * held
                continue
            inner = parameter.ndim == 2 and id(parameter) not in shared
            groups.append((tuple(parameter.shape), INNER[kind] if inner else "vector"))
    numbers = sum(_size(shape) for shape, _ in groups)
    return Memory(
        frozen=frozen,
        weights=numbers * FULL,  # float32, or bfloat16 and the 16 bits that rounding took
        gradients=numbers * FULL,
        optimizer=sum(_state(shape, rule) for shape, rule in groups),
        trained=numbers,
        precision="bf16" if dtype == torch.bfloat16 else "fp32",
    )


def _with_adapter(net: Any, adapter: Adapter, held: int) -> tuple[int, list[tuple[int, ...]]]:
    """The bytes of the frozen weights, and the shapes of what is trained beside them."""
    names = targets(net, adapter.targets)
    frozen = sum(parameter.numel() for parameter in net.parameters()) * held
    trained: list[tuple[int, ...]] = []
    for name in names:
        rows, columns = matrix(net.get_submodule(name)).shape
        trained += [(adapter.rank, columns), (rows, adapter.rank)]
        trained += [(rows,)] if adapter.dora else []
        if adapter.dora:
            frozen += rows * FULL  # the squared lengths of its rows
        if adapter.bits:
            frozen += four_bits(rows * columns) - rows * columns * held
    return frozen, trained


def four_bits(numbers: int) -> int:
    """The bytes of a matrix in four bits: half a byte a number, and the scales of the blocks, which are in eight bits
    themselves."""
    blocks = -(-numbers // FOUR_BIT_BLOCK)
    return -(-numbers // 2) + blocks + -(-blocks // SCALE_BLOCK) * FULL + CODES


def _state(shape: tuple[int, ...], rule: str) -> int:
    """What the optimizer keeps of a parameter: two moments; one for Muon; two in eight bits with their scales."""
    numbers = _size(shape)
    if rule == "muon":
        return numbers * FULL
    if rule == "small":
        return 2 * (numbers + numbers // shared_by(shape[1]) * FULL)
    return 2 * numbers * FULL


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
