"""Weights, gradients and optimizer state as a few long vectors, and the two optimizers that move them.

Every parameter is a view into one flat float32 vector, ordered so that what is updated alike lies together:
matrices of one shape (a stack that Muon orthogonalises at once), other matrices, then vectors. Clipping is
one norm, AdamW two kernel calls, a checkpoint a handful of vectors. In bf16 the model computes on a flat
bfloat16 copy while the float32 vector remains the truth.

    AdamW  Loshchilov and Hutter 2019; its moments of matrices in eight bits where asked (eightbit.py)
    Muon   Jordan et al. 2024: momentum, orthogonalised by Newton-Schulz; its step is scaled by
           0.2 * sqrt(longer side), so that one learning rate fits both (Liu et al. 2025, arXiv:2502.16982)
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from tunesmith.train.eightbit import EightBit
from tunesmith.train.flops import bf16_is_fast
from tunesmith.train.parallel import Ranks, local
from tunesmith.train.split_weights import join, split

Kind = Literal["muon", "adamw", "adamw8"]
Rule = Literal["muon", "small", "matrix", "vector"]
RULES: tuple[Rule, ...] = ("muon", "small", "matrix", "vector")
"""How parameters are updated, in the order in which they lie: Muon, AdamW with moments in eight bits, AdamW with decay,
AdamW without."""
INNER: dict[Kind, Rule] = {"muon": "muon", "adamw": "matrix", "adamw8": "small"}
"""How an optimizer updates matrices that are neither embeddings nor the output layer."""
Schedule = Literal["wsd", "linear", "cosine"]
BETAS = (0.9, 0.95)
EPS = 1e-8
MUON_MOMENTUM = 0.95
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Parameters that are updated at a time in bf16."""
AT_ONCE = 1 << 24
"""Numbers in the matrices that Muon turns at a time, on each rank; one matrix at least."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring parameters in the flat vectors that are updated alike."""

    rule: Rule
    start: int
    stop: int
    shape: tuple[int, int, int] | None = None
    """[matrices, rows, columns] of a Muon stack, the rows of all ranks together; [1, rows, columns] of a matrix whose
    moments have eight bits, the rows of this rank."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A named part of what a checkpoint holds: the rows from ``first`` on of a tensor of ``shape``."""

    name: str
    data: Tensor
    shape: tuple[int, ...]
    first: int


class Weights:
    """All trained parameters of a model in flat vectors, or what this rank holds of them.

    ``compute`` is what the model works with. In bf16 ``low`` has what rounding took from it, so that the two together
    are the float32 weights; otherwise it is None. ``grad`` holds the float32 gradient. Where the model is divided
    among ranks, its parameters keep their own memory and are written anew after each step. ``exact`` then has
    what this rank held of them, by name, before they were rounded to ``dtype``.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Kind,
        dtype: torch.dtype,
        ranks: Ranks | None = None,
        exact: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        shared = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        head = getattr(model, "get_output_embeddings", lambda: None)()
        if head is not None:
            shared.add(id(head.weight))

        def rule(p: nn.Parameter) -> Rule:
            if p.ndim < 2:
                return "vector"
            return INNER[optimizer] if p.ndim == 2 and id(p) not in shared else "matrix"

        named.sort(key=lambda np: (RULES.index(rule(np[1])), tuple(np[1].shape) if rule(np[1]) == "muon" else ()))
        self.names = [n for n, _ in named]
        self.parameters = [p for _, p in named]
        self.rules = [rule(p) for p in self.parameters]
        self.divided = any(isinstance(p, DTensor) for p in self.parameters)
        sizes = [local(p).numel() for p in self.parameters]
        total = sum(sizes)
        device = local(self.parameters[0]).device
        # What is trained needs a float32 truth; float64 models (in tests) stay what they are.
        exactly = torch.float64 if dtype == torch.float64 else torch.float32
        halved = dtype != exactly
        self.compute = torch.empty(total, dtype=dtype, device=device)
        self.low = torch.empty(total, dtype=torch.int16, device=device) if halved else None
        self.grad = torch.zeros(total, dtype=exactly, device=device)
        self.slices: list[slice] = []
        self._where: dict[nn.Parameter, Tensor] = {}
        itself = weakref.proxy(self)  # torch keeps the hook as long as the parameter, which this object holds

        def collect(parameter: Tensor) -> None:
            itself._collect(parameter)

        a = 0
        for name, p, n in zip(self.names, self.parameters, sizes, strict=True):
            self.slices.append(slice(a, a + n))
            held = (exact or {}).get(name, local(p.detach()))
            self.put(a, held.reshape(-1).to(exactly))
            self._where[p] = grad = self.grad[a : a + n].view(local(p).shape)
            if not self.divided:
                p.data = self.compute[a : a + n].view(p.shape)
                if halved:
                    # Added to the float32 gradient as soon as it is whole, and given back: never all at once.
                    p.register_post_accumulate_grad_hook(collect)  # type: ignore[no-untyped-call]
                else:
                    p.grad = grad
            a += n
        self.publish()
        if halved and not self.divided:
            for p in model.parameters():
                p.data = p.data if p.requires_grad else p.data.to(dtype)
        stored = model.state_dict().keys()  # what a model computes for itself, as its rotations, stays exact
        for buffer_name, buffer in model.named_buffers():
            if buffer.is_floating_point() and halved and buffer_name in stored:
                buffer.data = buffer.data.to(dtype)
        self.stretches = self._stretches()

    def _stretches(self) -> tuple[Stretch, ...]:
        out: list[Stretch] = []
        for p, rule, where in zip(self.parameters, self.rules, self.slices, strict=True):
            shape = None
            if rule in ("muon", "small"):
                rows = p.shape[0] if rule == "muon" else local(p).shape[0]
                shape = (1, rows, p.shape[1])
            last = out[-1] if out else None
            alike = last and last.rule == rule != "small"
            if last and alike and (not shape or (last.shape and last.shape[1:] == shape[1:])):
                grown = (last.shape[0] + 1, *last.shape[1:]) if last.shape else None
                out[-1] = Stretch(rule, last.start, where.stop, grown)
            else:
                out.append(Stretch(rule, where.start, where.stop, shape))
        return tuple(out)

    @torch.no_grad()
    def publish(self) -> None:
        """Let a divided model compute with the current weights; any other one has them already."""
        if self.divided:
            for p, s in zip(self.parameters, self.slices, strict=True):
                held = local(p)
                held.copy_(self.compute[s].view(held.shape))

    def take(self, start: int, stop: int) -> Tensor:
        """The float32 weights of a stretch: their own memory, or in bf16 a copy that is to be ``put`` back."""
        if self.low is None:
            return self.compute[start:stop]
        return join(self.compute[start:stop], self.low[start:stop])

    @torch.no_grad()
    def put(self, start: int, values: Tensor) -> None:
        """Let these be the weights from ``start`` on."""
        stop = start + len(values)
        if self.low is not None:
            split(values, self.compute[start:stop], self.low[start:stop])
        elif values.data_ptr() != self.compute[start:stop].data_ptr():
            self.compute[start:stop] = values

    def _collect(self, parameter: Tensor) -> None:
        assert isinstance(parameter, nn.Parameter) and parameter.grad is not None
        self._where[parameter].add_(local(parameter.grad))
        parameter.grad = None

    def collect(self) -> None:
        """After a backward pass of a divided model: take what this rank has of the gradients."""
        if self.divided:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    self._collect(parameter)

    def gather(self) -> None:
        """Let the gradient be the sum over all ranks. A divided model has done it already."""
        if not self.divided:
            self.ranks.add(self.grad)

    def clip(self, limit: float) -> float:
        """The norm of the gradient, which is scaled down to ``limit`` if longer (0: only measured)."""
        norm = float(torch.linalg.vector_norm(self.grad))
        if self.divided:
            norm = math.sqrt(self.ranks.sums(norm**2)[0])
        if limit and norm > limit:
            self.grad.mul_(limit / norm)
        return norm

    def pieces(
        self, kind: str, flat: Tensor, rules: Sequence[Rule] = RULES, shares: Sequence[int] = ()
    ) -> Iterator[Piece]:
        """The part of each parameter in a vector that holds those of some rules, laid out as ``compute`` is.

        With ``shares`` the vector holds one number for so many neighbours of a row, for each of the parameters.
        """
        at = 0
        share = iter(shares)
        for name, p, rule in zip(self.names, self.parameters, self.rules, strict=True):
            if rule in rules:
                shape, whole = local(p).shape, p.shape
                if shares:
                    columns = p.shape[1] // next(share)
                    shape, whole = torch.Size((shape[0], columns)), torch.Size((whole[0], columns))
                first = self.ranks.rows(p.shape[0])[0] if self.divided else 0
                yield Piece(f"{kind}.{name}", flat[at : at + shape.numel()].view(shape), (*whole,), first)
                at += shape.numel()

    def finish(self) -> None:
        """Make the model's parameters the float32 weights themselves, to be saved. Training is over then."""
        self.grad = self.grad[:0].clone()
        self._where.clear()
        for p, s in zip(self.parameters, self.slices, strict=True):
            p.grad = None
            p.data = self.take(s.start, s.stop).view(p.shape)

    def whole(self) -> dict[str, Tensor]:
        """Each trained parameter, gathered from all ranks that hold a part of it."""
        found = {}
        for name, p, s in zip(self.names, self.parameters, self.slices, strict=True):
            held = self.take(s.start, s.stop).view(local(p).shape)
            data = self.ranks.whole(held[None], p.shape[0])[0] if self.divided else held
            if self.ranks.first:
                found[name] = data.to("cpu")
        return found


class Optimizer:
    """AdamW for some stretches, Muon for the others. ``state`` is all it remembers."""

    def __init__(self, weights: Weights, *, weight_decay: float) -> None:
        self.weights = weights
        self.weight_decay = weight_decay
        # The others come last, so Muon's momentum and Adam's moments are each one vector.
        muon = max((s.stop for s in weights.stretches if s.rule == "muon"), default=0)
        self._split = max((s.stop for s in weights.stretches if s.rule in ("muon", "small")), default=0)
        like = weights.grad
        self.momentum = torch.zeros_like(like[:muon])
        self.small = EightBit([s.shape[1:] for s in weights.stretches if s.rule == "small" and s.shape], like.device)
        self.m = torch.zeros_like(like[self._split :])
        self.v = torch.zeros_like(like[self._split :])
        self.steps = torch.zeros((), dtype=torch.float32, device=like.device)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move the weights against their gradient, which is set to zero."""
        w = self.weights
        self.steps += 1
        matrix = itertools.count()
        for s in w.stretches:
            if s.rule == "muon":
                self._muon(s, lr)
                continue
            if s.rule == "small":
                i = next(matrix)
                for a, b in self.small.blocks(i):
                    m, v = self.small.take(i, a, b)
                    self._adam(s.start + a, s.start + b, m, v, lr, self.weight_decay)
                    self.small.put(i, a, m, v)
                continue
            decay = self.weight_decay if s.rule == "matrix" else 0.0
            # Weights in two halves are joined and split a block at a time, which the cache holds.
            block = BLOCK.get(w.grad.device.type, BLOCK["cuda"]) if w.low is not None else max(1, s.stop - s.start)
            for a in range(s.start, s.stop, block):
                b = min(s.stop, a + block)
                where = slice(a - self._split, b - self._split)
                self._adam(a, b, self.m[where], self.v[where], lr, decay)
        w.grad.zero_()
        w.publish()

    def _adam(self, start: int, stop: int, m: Tensor, v: Tensor, lr: float, decay: float) -> None:
        weight = self.weights.take(start, stop)
        adamw(
            [weight], [self.weights.grad[start:stop]], [m], [v], [], [self.steps - 1], fused=True,  # which counts it
            lr=lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPS, amsgrad=False, maximize=False,
        )  # fmt: skip
        self.weights.put(start, weight)

    def _muon(self, s: Stretch, lr: float) -> None:
        """Move a stack of matrices, some at a time: all that is made for them is in memory at once."""
        assert s.shape is not None
        w = self.weights
        count, rows, columns = s.shape
        owners = w.ranks.size if w.divided else 1
        held = (s.stop - s.start) // count  # of each matrix, here
        some = owners * min(-(-count // owners), max(1, AT_ONCE // (rows * columns)))
        for a in range(0, count, some):
            b = min(count, a + some)
            part = slice(s.start + a * held, s.start + b * held)
            momentum, grad = self.momentum[part], w.grad[part]
            momentum.lerp_(grad, 1 - MUON_MOMENTUM)
            turned = grad.lerp(momentum, MUON_MOMENTUM).view(b - a, held // columns, columns)
            turned = self._shared(turned, rows, some // owners) if w.divided else orthogonalise(turned)
            weight = w.take(part.start, part.stop)
            if self.weight_decay:
                weight.mul_(1 - lr * self.weight_decay)
            w.put(part.start, weight.add_(turned.reshape(-1), alpha=-lr * 0.2 * max(rows, columns) ** 0.5))

    def _shared(self, local: Tensor, rows: int, each: int) -> Tensor:
        """Turn matrices [N, own rows, C] of which each rank holds some rows: each rank gets ``each`` of them whole."""
        ranks = self.weights.ranks
        count, held, columns = local.shape
        most = -(-rows // ranks.size)
        sent = local.new_zeros(ranks.size * each, most, columns)
        sent[:count, :held] = local
        mine = ranks.exchange(sent.view(ranks.size, each, most, columns)).transpose(0, 1).reshape(each, -1, columns)
        real = min(each, max(0, count - ranks.rank * each))
        turned = torch.zeros_like(mine)
        if real:
            turned[:real, :rows] = orthogonalise(mine[:real, :rows])
        back = ranks.exchange(turned.view(each, ranks.size, most, columns).transpose(0, 1).contiguous())
        return back.view(-1, most, columns)[:count, :held]

    def finish(self) -> None:
        """Give back what it remembers."""
        self.momentum, self.m, self.v = (x[:0].clone() for x in (self.momentum, self.m, self.v))
        self.small = EightBit([], self.m.device)

    @property
    def state(self) -> list[Piece]:
        """Everything that a checkpoint has to hold."""
        w, small = self.weights, self.small
        others: tuple[Rule, ...] = ("matrix", "vector")
        return [
            *w.pieces("weights", w.compute),
            *([] if w.low is None else w.pieces("low", w.low)),
            *w.pieces("momentum", self.momentum, ("muon",)),
            *w.pieces("m", self.m, others),
            *w.pieces("v", self.v, others),
            *w.pieces("m", small.m, ("small",)),
            *w.pieces("v", small.v, ("small",)),
            *w.pieces("m_scales", small.m_scales, ("small",), small.shares),
            *w.pieces("v_scales", small.v_scales, ("small",), small.shares),
            Piece("steps", self.steps.view(1), (1,), 0),
        ]


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrices with singular values near 1, for a stack [N, R, C], by Newton-Schulz.

    The polynomial of Jordan et al. (2024): fast rather than exact, singular values end in about 0.7 to 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    y = x.to(torch.bfloat16) if bf16_is_fast(x.device) else x
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        y = y.mT
    y = y / (torch.linalg.matrix_norm(y, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return (y.mT if tall else y).to(x.dtype)


def compute_dtype(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """The data type the model computes in. ``auto`` follows from the machine."""
    if precision == "auto":
        precision = "bf16" if bf16_is_fast(device) else "fp32"
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
