"""The output layer and its cross-entropy, only where something is learned, a chunk at a time.

Logits are the largest tensor of a small model: tokens times vocabulary. Here they exist for one chunk
of learned positions at a time, and their gradients are made in the same pass, so they are never kept.

    total = sum over i of  -log softmax(hidden[i] @ weight.T + bias)[target[i]]

Shapes: M learned positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_BYTES = 4 << 20
"""Logits worked on at a time, in bytes of float32: they should stay in the cache."""
_VOCABULARY = 8192
"""Rows of the output layer whose gradient is made at a time, where it is first made in a smaller type."""
_GRAIN = 32
"""Rows of a chunk are a multiple of this, so that matrix products have few shapes: kernels are compiled for each."""


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, cap: float
    ) -> tuple[Tensor, Tensor]:
        of_hidden, of_weight, of_bias, *_ = ctx.needs_input_grad  # a frozen output layer needs no gradient
        wants_grad = of_hidden or of_weight or of_bias
        exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_weight = torch.zeros_like(weight, dtype=exact) if of_weight else None
        d_bias = torch.zeros_like(bias, dtype=exact) if of_bias and bias is not None else None
        rows = hidden.shape[0]
        chunk = max(64, _CHUNK_BYTES // (4 * weight.shape[0]) // _GRAIN * _GRAIN)
        spare = -rows % _GRAIN
        if spare:
            hidden, targets = (torch.cat((x, x.new_zeros(spare, *x.shape[1:]))) for x in (hidden, targets))
        each = torch.empty(rows, dtype=exact, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if of_hidden else None
        for a in range(0, hidden.shape[0], chunk):
            h, t = hidden[a : a + chunk], targets[a : a + chunk, None]
            real = min(chunk, rows - a)
            logits = torch.nn.functional.linear(h, weight, bias)
            if cap:
                logits = cap * torch.tanh(logits.to(exact) / cap)
            slope = 1 - (logits / cap).square() if cap and wants_grad else None
            chosen, largest = logits.gather(1, t).to(exact), logits.amax(-1, keepdim=True).to(exact)
            p = torch.softmax(logits, dim=-1, dtype=exact)
            # log of the partition function by way of the largest probability, which is never tiny. Softmax is the
            # fastest pass over the logits that there is on CPU, and its result is the gradient.
            losses = (largest - p.amax(-1, keepdim=True).log_() - chosen)[:real, 0]
            each[a : a + real] = losses
            total += losses.sum(dtype=torch.float64)
            if not wants_grad:
                continue
            p.scatter_add_(1, t, torch.full_like(t, -1, dtype=exact))
            p[real:] = 0
            if slope is not None:
                p *= slope
            if d_bias is not None:
                d_bias += p.sum(0)
            p = p.to(hidden.dtype)
            if d_hidden is not None:
                torch.mm(p, weight, out=d_hidden[a : a + chunk])
            if d_weight is None:
                continue
            if d_weight.dtype == p.dtype:
                d_weight.addmm_(p.t(), h)
                continue
            for v in range(0, weight.shape[0], _VOCABULARY):
                d_weight[v : v + _VOCABULARY] += p[:, v : v + _VOCABULARY].t() @ h
        if wants_grad:
            ctx.save_for_backward(d_hidden[:rows] if d_hidden is not None else None, d_weight, d_bias)
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        ctx.mark_non_differentiable(each)
        return total.to(exact), each

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            None if d_hidden is None else d_hidden * grad.to(d_hidden.dtype),
            None if d_weight is None else d_weight.mul_(grad).to(weight_dtype),
            None if d_bias is None else d_bias.mul_(grad).to(bias_dtype),
            None,
            None,
        )


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None, cap: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of ``targets`` [M] under ``hidden`` [M, H] and the output layer ``weight`` [V, H]: sum, and each.

    ``cap`` is the soft limit on logits of some models (Gemma 2), 0 for none.
    """
    found: tuple[Tensor, Tensor] = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, cap
    )
    return found
