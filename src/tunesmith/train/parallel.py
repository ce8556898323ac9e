"""The processes of one run: who they are, what they tell each other, and how a model is divided among them.

    torchrun --nproc-per-node 4 -m tunesmith train my.yaml        (or: tunesmith launch --ranks 4 my.yaml)

Every rank draws the whole plan and computes its share of each global batch; gradients are sums over all of them,
divided by the weight of the whole batch. What is learned therefore does not depend on the number of ranks. A model is
either whole on each rank, or, with ``shard``, divided by the rows of its parameters (FSDP2) and gathered a layer at a
time.

One process without torchrun is the ordinary case: ``Ranks()`` then does nothing at all.
"""

from __future__ import annotations

import atexit
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.models.hf.blocks import blocks
from tunesmith.train import watch
from tunesmith.train.torchrun import rank, size

Value = TypeVar("Value")
PATIENCE = datetime.timedelta(hours=1)
"""How long a rank waits for the others: one may be writing a large model."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def join(cls) -> Ranks:
        """Meet the other processes that torchrun has started, if it has."""
        here, many = rank(), size()
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        if many > 1 and not dist.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
            # torchrun keeps the store when it starts its processes again: what the dead have written there is not read.
            again = PrefixStore(f"try {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
            dist.init_process_group(backend, timeout=PATIENCE, store=again, rank=here, world_size=many)
            atexit.register(_leave)
            watch.begin(here, many)
        return cls(here, many, device)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and talks."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Each value, summed over all ranks."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        self.add(found)
        return [float(x) for x in found]

    def add(self, tensor: Tensor) -> None:
        """Sum a tensor over all ranks, in place."""
        if self.size > 1:
            with ranks_lost_are_told():
                dist.all_reduce(tensor)

    def most(self, count: int) -> int:
        """The largest number of any rank."""
        if self.size == 1:
            return count
        found = torch.tensor([count], device=self.device)
        with ranks_lost_are_told():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def gather(self, value: Value) -> list[Value]:
        """The value of each rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with ranks_lost_are_told():
            dist.all_gather_object(found, value)
        return found

    def told(self, do: Callable[[], Value]) -> Value:
        """What the first rank gets by ``do``; where that is an error, all ranks end with it."""
        if self.size == 1:
            return do()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = do()
            except TunesmithError as error:
                found[1] = error
        with ranks_lost_are_told():
            dist.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        value: Value = found[0]
        return value

    def exchange(self, parts: Tensor) -> Tensor:
        """[ranks, ...] what is for each rank -> [ranks, ...] what each has for this one."""
        found = torch.empty_like(parts)
        with ranks_lost_are_told():
            dist.all_to_all_single(found, parts.contiguous())
        return found

    # -- rows: how a tensor is divided ---------------------------------------------------------------------------------

    def rows(self, count: int, of: int | None = None) -> tuple[int, int]:
        """The rows, of so many, that a rank holds: the same number on each, but fewer or none on the last."""
        each = -(-count // self.size)
        at = self.rank if of is None else of
        return min(count, at * each), min(count, (at + 1) * each)

    def whole(self, local: Tensor, rows: int) -> Tensor:
        """[N, own rows, ...] of each rank -> [N, rows, ...] on all of them."""
        if self.size == 1:
            return local
        each = -(-rows // self.size)
        padded = local.new_zeros(local.shape[0], each, *local.shape[2:])
        padded[:, : local.shape[1]] = local
        found = padded.new_empty(self.size * padded.shape[0], *padded.shape[1:])
        with ranks_lost_are_told():
            getattr(dist, "all_gather_single", dist.all_gather_into_tensor)(found, padded)  # its newer name
        return (
            found.view(self.size, *padded.shape)
            .transpose(0, 1)
            .reshape(local.shape[0], self.size * each, *local.shape[2:])[:, :rows]
        )


class Sharded(nn.Module):
    """A model whose parameters are divided among the ranks."""

    def __init__(self, model: PreTrainedModel, *, offload: bool) -> None:
        from torch.distributed.fsdp import (
            CPUOffloadPolicy,
            FSDPModule,
            MixedPrecisionPolicy,
            OffloadPolicy,
            fully_shard,
        )

        super().__init__()
        self.model = model
        settings: dict[str, Any] = {
            "mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False),
            "offload_policy": CPUOffloadPolicy(torch.cuda.is_available()) if offload else OffloadPolicy(),
        }
        layers = blocks(model)
        if not layers:
            raise TrainError(
                f"{type(model).__name__} has no list of layers that could be gathered one at a time: with shard: true "
                "each process would hold all of it. Set shard: false."
            )
        for layer in layers:
            fully_shard(layer, **settings)
        fully_shard(self, **settings)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # the loop divides, by what was learned and not by ranks
                module.set_force_sum_reduction_for_comms(True)  # gloo knows sums only

    def forward(self, do: Callable[[], Tensor]) -> Tensor:
        return do()

    def run(self, do: Callable[[], Tensor]) -> Tensor:
        """What is computed with the whole model."""
        found: Tensor = self(do)
        if not torch.is_grad_enabled():
            # A backward pass lets go of what was gathered. Without one it would stay, and be old after the next step.
            self.reshard()  # type: ignore[operator]
        return found


def divide(
    model: PreTrainedModel, ranks: Ranks, dtype: torch.dtype, *, offload: bool
) -> tuple[Sharded, dict[str, Tensor]]:
    """Divide a model among the ranks, in ``dtype``; also what this rank holds of the trained weights, unrounded."""
    exact = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != dtype:
            first, last = ranks.rows(parameter.shape[0])
            exact[name] = parameter.detach()[first:last].clone()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return Sharded(model, offload=offload), exact


def local(parameter: Tensor) -> Tensor:
    """The part of a parameter that this rank holds."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


@contextmanager
def ranks_lost_are_told() -> Iterator[None]:
    """Says in a line that another rank is gone; torch says it in forty."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(sign in str(error) for sign in _LOST):
            raise
        text = (
            "Another process of this run has ended, so this one cannot go on; look for its error above. The run "
            f"goes on from its newest checkpoint when it is started again. ({str(error).strip().splitlines()[0]})"
        )
        # At once: torchrun ends this process too, maybe before an error has come to the top.
        print(text, file=sys.stderr, flush=True)
        raise TrainError(text) from None


_LOST = (
    *("onnection closed", "onnection reset", "roken pipe", "imed out", "imeout", "remote process exited", "aborted"),
    *("ocket closed", "not connected", "likely closed", "failed to recv"),
)
"""Parts of what gloo and NCCL say when they have nobody to talk to, in RuntimeErrors without a class of their own."""


def _leave() -> None:
    if dist.is_initialized():
        # gloo's threads let go of the last tensors with Python's lock, and abort the process if Python is gone by then.
        time.sleep(0.2)
        dist.destroy_process_group()
