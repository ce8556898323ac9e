"""From a model's name to something that can take a step, and back to a model's folder.

machine = assemble(model, settings, ranks, ...)     policy, weights, optimizer
machine.write(folder, ...)                          a plain Hugging Face folder, merged where there is an adapter
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import TrainError
from tunesmith.core.malloc import give_back_memory
from tunesmith.models.load import ModelSource, cast, load_model, save_model
from tunesmith.models.lowrank import attach, freeze, merge, save_adapter
from tunesmith.models.policies import policy_of
from tunesmith.models.policy import Policy
from tunesmith.models.vocabulary import extend
from tunesmith.plan import seed_of
from tunesmith.train.optim import Optimizer, Weights
from tunesmith.train.parallel import Ranks, divide
from tunesmith.train.settings import TrainSettings


@dataclass(frozen=True)
class Machine:
    """A model and what trains it."""

    policy: Policy
    weights: Weights
    optimizer: Optimizer
    stored: torch.dtype
    """The data type that the model is stored in, and will be."""
    begin: Callable[[], Any]
    """The model before the first step, as it is stored."""
    settings: TrainSettings
    new: bool
    """Whether tokens are new to the model."""

    def write(self, out: Path, *, base: str, tokenizer_dir: str | Path | None, stop_ids: Sequence[int]) -> None:
        """Write ``out/model``, and ``out/adapter`` where there is one. All ranks call it, the first one writes."""
        net: Any = self.policy.model
        if self.weights.divided:
            learned = self.weights.whole()
            if not self.weights.ranks.first:
                return
            net = _trainable(self.begin(), self.settings, torch.float32, "cpu", new=self.new)
            for name, tensor in learned.items():
                net.get_parameter(name).data = tensor
        elif self.weights.ranks.first:
            self.optimizer.finish()
            self.weights.finish()
        else:
            return
        net.train(False)
        if self.settings.adapter:
            save_adapter(net, out / "adapter", self.settings.adapter, base=base)
        if self.settings.adapter or self.settings.freeze:  # what stayed is written as it was read
            net = merge(net, self.begin())
        cast(net, self.stored)
        save_model(net, out / "model", tokenizer_dir=tokenizer_dir, stop_ids=stop_ids)


def assemble(
    model: ModelSource, settings: TrainSettings, ranks: Ranks, dtype: torch.dtype, new_ids: Sequence[int]
) -> Machine:
    """Load the model, check it, and lay out what is trained of it."""
    device = torch.device("cpu") if settings.offload else ranks.device

    def begin() -> Any:
        net = load_model(model, seed=seed_of(settings.seed, "weights"), dtype=None)
        extend(net, new_ids, seed=seed_of(settings.seed, "new tokens"))
        return net

    net = begin()
    stored = net.dtype
    divided = settings.shard and ranks.size > 1
    if divided and settings.adapter and settings.adapter.bits:
        raise TrainError("Weights in four bits cannot be divided among ranks: set shard: false, or leave bits out.")
    net = _trainable(net, settings, dtype, ranks.device, new=bool(new_ids))
    policy = policy_of(net, noise=settings.noise)
    exact = None
    if divided:
        sharded, exact = divide(net, ranks, dtype, offload=settings.offload)
        policy.run, policy.agree = sharded.run, ranks.most
    else:
        net.to(device)
    policy.check(settings.row_length)
    kind = settings.optimizer
    if kind == "auto":
        kind = "adamw" if settings.adapter else "muon"
    weights = Weights(net, optimizer=kind, dtype=dtype, ranks=ranks, exact=exact)
    if device.type == "cuda" and dtype != torch.float32:
        policy.check(settings.row_length)  # the kernels of this precision are others
    give_back_memory()  # of the weights as they were loaded
    optimizer = Optimizer(weights, weight_decay=settings.weight_decay)
    return Machine(policy, weights, optimizer, stored, begin, settings, bool(new_ids))


def _trainable(net: Any, settings: TrainSettings, dtype: torch.dtype, device: torch.device | str, *, new: bool) -> Any:
    """The model with its adapter, and with those parts frozen that shall be."""
    cast(net, dtype if settings.adapter else torch.promote_types(net.dtype, torch.float32))
    if settings.adapter:
        attach(net, settings.adapter, seed=seed_of(settings.seed, "adapter"), device=device)
        if new:  # rows of new tokens begin at a mean, which says nothing: they are trained
            for layer in (net.get_input_embeddings(), net.get_output_embeddings()):
                layer.requires_grad_(True)
    if settings.freeze:
        freeze(net, settings.freeze)
    return net
