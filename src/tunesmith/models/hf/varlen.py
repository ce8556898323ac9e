"""Torch's attention over documents of any lengths, which lie end to end: for half precision on GPUs.

It is young, and releases of torch differ in what it takes. So it is tried once for each kind of device and data type,
on two small documents with a window and shared key/value heads, against attention by its definition.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

varlen_attn: Callable[..., Any] | None = None
with suppress(ImportError):
    from torch.nn.attention.varlen import varlen_attn

_tried: dict[tuple[str, torch.dtype], bool] = {}


def documents(
    q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int, scale: float, window: int | None
) -> Tensor:
    """Causal attention of each document, [T, heads, size]. ``bounds`` [N + 1] says where documents begin and end."""
    assert varlen_attn is not None
    found: Tensor = varlen_attn(
        q, k, v, bounds, bounds, longest, longest,
        scale=scale, window_size=(-1 if window is None else window - 1, 0), enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return found


def available(like: Tensor) -> bool:
    """Whether ``documents`` can be used for tensors like this one, and gives what it should."""
    key = like.device.type, like.dtype
    if key not in _tried:
        _tried[key] = like.is_cuda and like.dtype in (torch.bfloat16, torch.float16) and _works(like)
    return _tried[key]


@torch.no_grad()
def _works(like: Tensor) -> bool:
    if varlen_attn is None:
        return False
    lengths, size, window = (5, 9), 64, 4
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(sum(lengths), heads, size, generator=generator) for heads in (4, 2, 2))
    bounds = torch.tensor([0, 5, 14], dtype=torch.int32, device=like.device)
    try:
        there = [x.to(like.device, like.dtype) for x in (q, k, v)]
        said = documents(there[0], there[1], there[2], bounds, max(lengths), 0.125, window).float().cpu()
    except Exception:  # not for this device, or another interface: the general attention is used
        return False
    wanted = []
    for a, b in ((0, 5), (5, 14)):
        i = torch.arange(b - a)
        may = (i[:, None] >= i) & (i[:, None] - i < window)
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[a:b].repeat_interleave(2, 1)) * 0.125
        p = torch.softmax(scores.masked_fill(~may, float("-inf")), -1)
        wanted.append(torch.einsum("hqk,khd->qhd", p, v[a:b].repeat_interleave(2, 1)))
    return bool((said - torch.cat(wanted)).abs().max() < 0.05)
