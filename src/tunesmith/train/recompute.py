"""What a forward pass keeps for the backward pass, and what is computed again instead.

    nothing    all is kept: fastest, most memory
    cheap      the results of matrix products are kept; norms, gates, rotations and attention are computed again
    layers     only what goes into each layer is kept: least memory, a third more time

``auto`` counts what a forward pass keeps. Where that is little, nothing is computed again. Otherwise it is ``cheap``,
or ``layers`` where even that would not fit the memory that is free. The results are the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from tunesmith.core.cores import memory_left
from tunesmith.models.hf.blocks import blocks
from tunesmith.train.assemble import Machine
from tunesmith.train.optim import Weights
from tunesmith.train.parallel import local

Again = Literal["nothing", "cheap", "layers"]
LITTLE = 640 << 20
"""Bytes that are kept without a thought: a model of 13M parameters keeps 500 MB of 2,048 tokens."""
LEFT = 0.5
"""The share of it that ``cheap`` keeps, about."""
SHARE = 0.7
"""Of the free memory that may be used."""
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default}


def compute_again(
    asked: Literal["auto"] | Again, machine: Machine, compute: Callable[[], Tensor], times: float
) -> list[str]:
    """Do what the settings ask for, and say what was chosen. ``compute`` gives the loss of a part of a batch, which is
    so many ``times`` as large: memory may be short. All ranks call it."""
    weights, net = machine.weights, machine.policy.model
    what, said = asked, []
    if asked == "auto":
        kept = round(times * bytes_kept(lambda: _once(compute, weights), net))
        free = free_bytes(weights.grad.device)
        if weights.grad.device.type == "cpu":  # the system gives these when they are first written
            free -= weights.grad.nbytes + sum(piece.data.nbytes for piece in machine.optimizer.state)
        what = choose(weights.ranks.most(kept), -weights.ranks.most(-free))
        if what != "nothing":
            said.append(
                f"A forward pass would keep {kept / 2**30:.1f} GB and {max(0, free) / 2**30:.1f} GB are free: "
                f"recompute: {what}."
            )
    if what == "cheap" or what == "layers":
        recompute(blocks(net), what)
    return said


def _once(compute: Callable[[], Tensor], weights: Weights) -> None:
    """A pass forward and, as a divided model needs it, backward, which leaves nothing behind."""
    (compute() * 0).backward()  # type: ignore[no-untyped-call]
    weights.collect()
    weights.grad.zero_()


def recompute(layers: Sequence[nn.Module], what: Literal["cheap", "layers"]) -> None:
    """From now on, compute these layers' activations again."""
    more: dict[str, Any] = {}
    if what == "cheap":
        more["context_fn"] = functools.partial(create_selective_checkpoint_contexts, _policy)

    def again(forward: Callable[..., Any], layer: nn.Module, *inputs: Any, **named: Any) -> Any:
        if not (layer.training and torch.is_grad_enabled()):
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **more, **named)

    for layer in layers:
        layer.forward = functools.partial(again, layer.forward, layer)


def _policy(context: Any, op: Any, *inputs: Any, **named: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in PRODUCTS else CheckpointPolicy.PREFER_RECOMPUTE


def choose(kept: int, free: int) -> Again:
    """What to compute again, where a forward pass keeps so many bytes and so many are free."""
    if kept <= LITTLE and kept <= SHARE * free:
        return "nothing"
    return "cheap" if LEFT * kept <= SHARE * free else "layers"


def bytes_kept(compute: Callable[[], object], model: nn.Module) -> int:
    """What a forward pass keeps for the backward pass, beside the weights."""
    weights = {local(p).untyped_storage().data_ptr() for p in model.parameters()}
    # A divided model keeps what it has gathered of its matrices, and lets go of it.
    gathered = sum(p.nbytes for p in model.parameters() if isinstance(p, DTensor) and p.ndim > 1)
    found: dict[int, int] = {}
    held: list[Tensor] = []  # so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        compute()
    return max(0, sum(found.values()) - gathered)


def free_bytes(device: torch.device) -> int:
    """Memory that this process may still take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        left = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        left = 1 << 62  # not told: nothing is saved for its sake
    limit = memory_left()
    return left if limit is None else min(left, limit)
