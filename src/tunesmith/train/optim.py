"""Weights, gradients and optimizer state as a few long vectors, and the two optimizers that move them.

Every parameter is a view into one flat float32 vector, ordered so that what is updated alike lies together:
matrices of one shape (a stack that Muon orthogonalises at once), other matrices, then vectors. Clipping is
one norm, AdamW two kernel calls, a checkpoint a handful of vectors. In bf16 the model computes on a flat
bfloat16 copy while the float32 vector remains the truth.

    AdamW  Loshchilov and Hutter 2019
    Muon   Jordan et al. 2024: momentum, orthogonalised by Newton-Schulz; its step is scaled by
           0.2 * sqrt(longer side), so that one learning rate fits both (Liu et al. 2025, arXiv:2502.16982)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tunesmith.errors import CheckpointError

Schedule = Literal["wsd", "linear", "cosine"]
BETAS = (0.9, 0.95)
EPS = 1e-8
MUON_MOMENTUM = 0.95


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring parameters in the flat vectors that are updated alike."""

    rule: Literal["muon", "matrix", "vector"]
    start: int
    stop: int
    shape: tuple[int, int, int] | None = None
    """[matrices, rows, columns] of a Muon stack."""


class Weights:
    """All parameters of a model in flat vectors.

    ``master`` is float32 and is what is saved. In bf16 ``compute`` is the copy the model works on, otherwise it
    is ``master`` itself. ``grad`` holds the float32 gradient.
    """

    def __init__(self, model: nn.Module, *, optimizer: Literal["muon", "adamw"], dtype: torch.dtype) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        shared = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        head = getattr(model, "get_output_embeddings", lambda: None)()
        if head is not None:
            shared.add(id(head.weight))

        def rule(p: nn.Parameter) -> Literal["muon", "matrix", "vector"]:
            if p.ndim < 2:
                return "vector"
            return "muon" if optimizer == "muon" and p.ndim == 2 and id(p) not in shared else "matrix"

        order = {"muon": 0, "matrix": 1, "vector": 2}
        named.sort(key=lambda np: (order[rule(np[1])], tuple(np[1].shape) if rule(np[1]) == "muon" else ()))
        self.names = [n for n, _ in named]
        self.parameters = [p for _, p in named]
        self.rules = [rule(p) for p in self.parameters]
        sizes = [p.numel() for p in self.parameters]
        total = sum(sizes)
        device = self.parameters[0].device
        # What is trained needs a float32 truth; float64 models (in tests) stay what they are.
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        self.master = torch.empty(total, dtype=exact, device=device)
        self.grad = torch.zeros_like(self.master)
        split = dtype != exact
        self.compute = torch.empty(total, dtype=dtype, device=device) if split else self.master
        self.slices: list[slice] = []
        self._where: dict[nn.Parameter, Tensor] = {}
        a = 0
        for p, n in zip(self.parameters, sizes, strict=True):
            self.slices.append(slice(a, a + n))
            self.master[a : a + n] = p.detach().reshape(-1)
            p.data = self.compute[a : a + n].view(p.shape)
            if split:
                # Added to the float32 gradient as soon as it is whole, and given back: never are all there at once.
                p.register_post_accumulate_grad_hook(self._collect)  # type: ignore[no-untyped-call]
                self._where[p] = self.grad[a : a + n].view(p.shape)
            else:
                p.grad = self.grad[a : a + n].view(p.shape)
            a += n
        self.publish()
        if split:
            for p in model.parameters():
                p.data = p.data if p.requires_grad else p.data.to(dtype)
        stored = model.state_dict().keys()  # what a model computes for itself, as its rotations, stays exact
        for buffer_name, buffer in model.named_buffers():
            if buffer.is_floating_point() and split and buffer_name in stored:
                buffer.data = buffer.data.to(dtype)
        self.stretches = self._stretches(sizes)

    def _stretches(self, sizes: list[int]) -> tuple[Stretch, ...]:
        out: list[Stretch] = []
        for p, rule, where in zip(self.parameters, self.rules, self.slices, strict=True):
            shape = (1, p.shape[0], p.shape[1]) if rule == "muon" else None
            last = out[-1] if out else None
            if last and last.rule == rule and (not shape or (last.shape and last.shape[1:] == shape[1:])):
                grown = (last.shape[0] + 1, *last.shape[1:]) if last.shape else None
                out[-1] = Stretch(rule, last.start, where.stop, grown)
            else:
                out.append(Stretch(rule, where.start, where.stop, shape))
        return tuple(out)

    def publish(self) -> None:
        """Let the model compute with the current master weights."""
        if self.compute is not self.master:
            self.compute.copy_(self.master)

    def _collect(self, parameter: Tensor) -> None:
        assert isinstance(parameter, nn.Parameter) and parameter.grad is not None
        self._where[parameter].add_(parameter.grad)
        parameter.grad = None

    def clip(self, limit: float) -> Tensor:
        """The norm of the gradient, which is scaled down to ``limit`` if longer (0: only measured)."""
        norm: Tensor = torch.linalg.vector_norm(self.grad)
        if limit and float(norm) > limit:
            self.grad.mul_(limit / norm)
        return norm

    def to_master(self) -> None:
        """Make the model's parameters the float32 weights themselves, to be saved. Training is over then."""
        for p, s in zip(self.parameters, self.slices, strict=True):
            p.grad = None
            p.data = self.master[s].view(p.shape)


class Optimizer:
    """AdamW for some stretches, Muon for the others. ``state`` is all it remembers."""

    def __init__(self, weights: Weights, *, weight_decay: float) -> None:
        self.weights = weights
        self.weight_decay = weight_decay
        # Muon stretches come first, so their momentum and Adam's moments are each one vector.
        self._split = max((s.stop for s in weights.stretches if s.rule == "muon"), default=0)
        like = weights.master
        self.momentum = torch.zeros_like(like[: self._split])
        self.m = torch.zeros_like(like[self._split :])
        self.v = torch.zeros_like(like[self._split :])
        self.steps = torch.zeros((), dtype=torch.float32, device=like.device)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move the weights against their gradient, which is set to zero."""
        w = self.weights
        self.steps += 1
        for s in w.stretches:
            weight, grad = w.master[s.start : s.stop], w.grad[s.start : s.stop]
            if s.rule == "muon":
                assert s.shape is not None
                momentum = self.momentum[s.start : s.stop]
                momentum.lerp_(grad, 1 - MUON_MOMENTUM)
                nesterov = grad.lerp(momentum, MUON_MOMENTUM).view(s.shape)
                update = orthogonalise(nesterov).reshape(-1)
                if self.weight_decay:
                    weight.mul_(1 - lr * self.weight_decay)
                weight.add_(update, alpha=-lr * 0.2 * max(s.shape[1:]) ** 0.5)
            else:
                where = slice(s.start - self._split, s.stop - self._split)
                decay = self.weight_decay if s.rule == "matrix" else 0.0
                torch._fused_adamw_(
                    [weight], [grad], [self.m[where]], [self.v[where]], [], [self.steps],
                    lr=lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPS,
                    amsgrad=False, maximize=False,
                )  # fmt: skip
        w.grad.zero_()
        w.publish()

    @property
    def state(self) -> dict[str, Tensor]:
        return {
            "master": self.weights.master,
            "momentum": self.momentum,
            "m": self.m,
            "v": self.v,
            "steps": self.steps,
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state.items():
            if name not in state or state[name].shape != tensor.shape:
                raise CheckpointError(f"The checkpoint does not fit this model: {name} differs in size.")
            tensor.copy_(state[name])
        self.weights.publish()


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrices with singular values near 1, for a stack [N, R, C], by Newton-Schulz.

    The polynomial of Jordan et al. (2024): fast rather than exact, singular values end in about 0.7 to 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    y = x.to(torch.bfloat16) if _bf16_is_fast(x.device) else x
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        y = y.mT
    y = y / (torch.linalg.matrix_norm(y, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return (y.mT if tall else y).to(x.dtype)


def _bf16_is_fast(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def compute_dtype(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """The data type the model computes in. It follows from the machine, never from a timing."""
    if precision == "auto":
        precision = "bf16" if _bf16_is_fast(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def rate_at(step: int, steps: int, lr: float, warmup: float, decay: float, schedule: Schedule = "wsd") -> float:
    """The learning rate of ``step``. It rises over ``warmup``; then it

    wsd       stays, and falls to zero over ``decay`` at the end;
    linear    falls to zero over all that is left;
    cosine    the same, along half a wave: slowly, fast, slowly.
    """
    up = max(1, round(warmup * steps))
    rising = (step + 1) / up
    if schedule == "wsd":
        return lr * min(1.0, rising, (steps - step) / max(1, round(decay * steps)))
    left = (steps - step) / max(1, steps - up)
    falling = left if schedule == "linear" else (1 - math.cos(math.pi * min(1.0, left))) / 2
    return lr * min(1.0, rising, falling)
