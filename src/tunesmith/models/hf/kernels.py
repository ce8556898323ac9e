"""Kernels of torch that have no public name. Each is tried once against its definition, which takes its place where a
release has changed it.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def softmax_backward(grad: Tensor, p: Tensor) -> Tensor:
    """The gradient of the scores, from that of the probabilities ``p`` over the last dimension."""
    if _has_softmax_backward():
        found: Tensor = torch._softmax_backward_data(grad, p, -1, p.dtype)
        return found
    return _softmax_backward(grad, p)


def _softmax_backward(grad: Tensor, p: Tensor) -> Tensor:
    return p * (grad - (grad * p).sum(-1, keepdim=True))


@cache
def _has_softmax_backward() -> bool:
    p, grad = torch.softmax(torch.arange(6.0).view(2, 3), -1), torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    try:
        return torch.allclose(torch._softmax_backward_data(grad, p, -1, p.dtype), _softmax_backward(grad, p), atol=1e-6)
    except Exception:  # renamed, or with other arguments
        return False
