"""What Adam remembers of matrices, in eight bits: two bytes a weight in place of eight.

    for a, b in moments.blocks(i):           of matrix i
        m, v = moments.take(i, a, b)         float32, to be changed
        moments.put(i, a, m, v)

At most 256 neighbours in a row share a scale, their largest size. Up to it there are 256 steps, which lie closer where
values are small (dynamic blockwise quantisation: Dettmers et al. 2022, arXiv:2110.02861). No block reaches over the end
of a row, so that a checkpoint's rows can go to other ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

BLOCK = 256
"""Most neighbours that share a scale."""
AT_ONCE = 1 << 20
"""Weights that are in float32 at a time."""
_DROPPED = 13
"""Low bits of a float32 that are not asked for the nearest step: ten bits of its fraction are left."""


class EightBit:
    """The two moments of some matrices, each given by its rows and columns."""

    def __init__(self, shapes: Sequence[tuple[int, int]], device: torch.device) -> None:
        self._shapes = tuple(shapes)
        self.shares = tuple(shared_by(columns) for _, columns in shapes)
        """How many neighbours share a scale, for each matrix."""
        self._from, self._scales_from = [0], [0]
        for (rows, columns), share in zip(shapes, self.shares, strict=True):
            self._from.append(self._from[-1] + rows * columns)
            self._scales_from.append(self._scales_from[-1] + rows * columns // share)
        self.m, self.v = (torch.zeros(self._from[-1], dtype=torch.uint8, device=device) for _ in range(2))
        self.m += int(_nearest(torch.zeros(1), signed=True))
        self.m_scales, self.v_scales = (torch.zeros(self._scales_from[-1], device=device) for _ in range(2))

    def blocks(self, i: int) -> Iterator[tuple[int, int]]:
        """Matrix ``i`` in stretches of whole rows."""
        rows, columns = self._shapes[i]
        each = max(1, AT_ONCE // columns)
        for row in range(0, rows, each):
            yield row * columns, min(rows, row + each) * columns

    def take(self, i: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Both moments of a stretch of matrix ``i``."""
        numbers, scales = self._where(i, start, stop)
        m, v = (
            steps(signed=signed, device=codes.device)
            .index_select(0, codes[numbers].int())
            .view(-1, self.shares[i])
            .mul_(scale[scales, None])
            .view(-1)
            for codes, scale, signed in ((self.m, self.m_scales, True), (self.v, self.v_scales, False))
        )
        return m, v

    def put(self, i: int, start: int, m: Tensor, v: Tensor) -> None:
        """Remember a stretch of matrix ``i``."""
        numbers, scales = self._where(i, start, start + len(m))
        for codes, scale, values, signed in (
            (self.m, self.m_scales, m, True),
            (self.v, self.v_scales, v, False),
        ):
            blocks = values.view(-1, self.shares[i])
            largest = torch.linalg.vector_norm(blocks, float("inf"), dim=1)
            scale[scales] = largest
            codes[numbers] = _nearest((blocks / largest.clamp_min(1e-38)[:, None]).view(-1), signed=signed)

    def _where(self, i: int, start: int, stop: int) -> tuple[slice, slice]:
        first, scale, share = self._from[i], self._scales_from[i], self.shares[i]
        return slice(first + start, first + stop), slice(scale + start // share, scale + stop // share)


def shared_by(columns: int) -> int:
    """The largest part of a row, up to BLOCK, that divides it; the whole row where there is none of any use."""
    share = next(n for n in range(min(BLOCK, columns), 0, -1) if columns % n == 0)
    return share if share >= BLOCK // 8 else columns


@cache
def steps(*, signed: bool, device: torch.device) -> Tensor:
    """[256] the values between -1 (or 0) and 1 that eight bits can have, in order.

    Seven decades, each with twice as many steps as the one below; the middle of an even stretch stands for it.
    """
    found = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, (2**decade if signed else 2 ** (decade + 1)) + 1, dtype=torch.float64)
        for value in ((edges[1:] + edges[:-1]) / 2 * 10.0 ** (decade - 6)).tolist():
            found += [value, -value] if signed else [value]
    return torch.tensor(sorted(found), dtype=torch.float64).float().to(device)


@cache
def _table(*, signed: bool, device: torch.device) -> Tensor:
    """The nearest step of each float32 whose low bits are dropped, as a number that begins at the sign."""
    tops = torch.arange(-(1 << 31), 1 << 31, 1 << _DROPPED, dtype=torch.int64).to(torch.int32)
    values = (tops + (1 << (_DROPPED - 1))).view(torch.float32).nan_to_num()
    known = steps(signed=signed, device=torch.device("cpu"))
    return torch.bucketize(values, (known[1:] + known[:-1]) / 2).to(torch.uint8).to(device)


def _nearest(values: Tensor, *, signed: bool) -> Tensor:
    """The steps nearest to values between -1 and 1, looked up by their high bits: far faster than a search."""
    tops = (values.view(torch.int32) >> _DROPPED).add_(1 << (31 - _DROPPED))
    return _table(signed=signed, device=values.device).index_select(0, tops)
