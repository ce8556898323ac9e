"""A float32 number in two halves: what a model computes with in bfloat16, and the bits that rounding took from it.

    split(x, high, low)      high: x in bfloat16, rounded as usual;  low: the rest of its bits
    join(high, low)          x again

Master weights of mixed precision are then the compute copy and as much again, and not a second copy of twice its size:
two bytes a parameter less. One number in 65536 lies just between two of bfloat16 and is off by its last bit.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split(x: Tensor, high: Tensor, low: Tensor) -> None:
    """Write both halves of ``x`` (float32) to ``high`` (bfloat16) and ``low`` (int16)."""
    high.copy_(x)
    rest = x.view(torch.int32) - _bits(high)
    low.copy_(rest.clamp_(max=32767))


def join(high: Tensor, low: Tensor) -> Tensor:
    """The float32 numbers of two halves."""
    return _bits(high).add_(low).view(torch.float32)


def _bits(high: Tensor) -> Tensor:
    """The bits of a bfloat16 number as the upper half of 32."""
    return high.view(torch.int16).to(torch.int32).mul_(1 << 16)
