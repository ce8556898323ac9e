"""Attention for documents laid end to end, so that no document sees another and hardly a slot is padded.

A model runs on flat tokens ``[1, T]``. Everything but attention looks at one token at a time and computes no
padding at all. On CPU, attention gathers the documents into square tiles: short ones several to a tile of 64 slots,
longer ones one to a tile of their own length. A mask, made once for all layers, keeps them causal and apart; cost
grows with the square of a document's length, never of the row's. On a GPU, torch's own attention over documents of any
lengths does the same without tiles.

Registered with transformers as attention function "tunesmith"; the ``Packed`` value travels to it as the
keyword ``packed`` of the model's forward, and as ``fused`` whether the fast kernels may be used: ``Policy.check``
finds out. Without them, torch's general attention computes the tiles, slowly and for every model.

Shapes: T tokens, H heads, K key/value heads, D head size, N tiles in a group, S slots in a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunesmith.core.errors import TrainError
from tunesmith.models.hf import varlen
from tunesmith.models.hf.attention import register
from tunesmith.models.hf.kernels import softmax_backward

NAME = "tunesmith"

_SHORT = 64
"""Documents up to this share tiles of this size."""
_STEP = 32
"""Longer tiles are multiples of this: the width at which CPU softmax is vectorised in bfloat16."""
_BLOCK = 256
"""Queries of a long tile are taken this many at a time, with only the keys before their end: half is saved."""


_Laid = list[tuple[int, list[list[int]]]]
"""(size, tiles of documents, by their numbers)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tiles of one size."""

    tiles: int
    size: int
    gather: Tensor
    """[N * S] which flat token stands in each slot (0 where none does)."""
    padded: Tensor
    """Slots that hold no token."""
    mask: Tensor
    """[N or 1, 1, S, S] 0 where a query may look, -inf where not."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The square tiles that attention is computed in where it has no kernel for documents of any lengths."""

    groups: tuple[Group, ...]
    order: Tensor
    """[T] for each flat token its slot, counting the slots of all groups one after another."""

    @classmethod
    def of(cls, lengths: NDArray[np.int64], laid: _Laid, device: torch.device, dtype: torch.dtype) -> Tiles:
        """Tiles of documents that lie end to end; masks in the type that the model computes in."""
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        order = np.empty(int(lengths.sum()), dtype=np.int64)
        groups = []
        base = 0
        for size, tiles in laid:
            of_slot = np.full((len(tiles), size), -1, dtype=np.int64)
            document = np.full((len(tiles), size), -1, dtype=np.int64)
            for row, tile in enumerate(tiles):
                a = 0
                for i in tile:
                    b = a + int(lengths[i])
                    of_slot[row, a:b] = np.arange(starts[i], starts[i] + lengths[i])
                    document[row, a:b] = i
                    a = b
            if size <= _SHORT:
                same = document[:, :, None] == document[:, None, :]
                may = np.tril(np.ones((size, size), dtype=np.bool_)) & same
            else:
                # One document to a tile, and what pads it comes after it: causal is enough.
                may = np.tril(np.ones((1, size, size), dtype=np.bool_))
            mask = torch.zeros(may.shape, dtype=dtype).masked_fill_(torch.from_numpy(~may), float("-inf"))
            flat = of_slot.reshape(-1)
            slots, padded = np.flatnonzero(flat >= 0), np.flatnonzero(flat < 0)
            order[flat[slots]] = base + slots
            base += flat.size
            groups.append(
                Group(
                    len(tiles),
                    size,
                    torch.from_numpy(np.maximum(flat, 0)).to(device),
                    torch.from_numpy(padded).to(device),
                    mask[:, None].to(device),
                )
            )
        return cls(tuple(groups), torch.from_numpy(order).to(device))


@dataclass(frozen=True)
class Packed:
    """How documents lie in the flat tokens."""

    lengths: tuple[int, ...]
    positions: Tensor
    """[T] position of each token in its document."""
    bounds: Tensor
    """[N + 1] where documents begin, and the end; spare tokens count as one."""
    spare: int = 0
    """How many of the T tokens, at the end, belong to no document. Nothing is learned from them."""
    begins: tuple[int, ...] = ()
    """Where in each document the first learned token stands: there an encoder-decoder's answer begins."""
    asked: set[int] = field(default_factory=set, repr=False, compare=False)
    """The attention layers that were computed by it: empty where a model goes on with an attention of its own."""
    _made: dict[torch.dtype, Tiles] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tokens(self) -> int:
        """Those of the documents."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest stretch that attention sees as one."""
        return max(*self.lengths, self.spare)

    @cached_property
    def pairs(self) -> tuple[int, int]:
        """(query, key) pairs that attention computes, and those whose query is in an empty slot of a tile."""
        n = self._lengths
        if self.positions.is_cuda:
            return int((n**2).sum()), 0
        used = [(size, len(tiles), sum(int(n[i]) for tile in tiles for i in tile)) for size, tiles in self._laid]
        return (
            sum(count * size**2 for size, count, _ in used),
            sum(size * (count * size - tokens) for size, count, tokens in used),
        )

    def tiles(self, dtype: torch.dtype) -> Tiles:
        """The tiles for a model that computes in ``dtype``, made once."""
        if dtype not in self._made:
            self._made[dtype] = Tiles.of(self._lengths, self._laid, self.positions.device, dtype)
        return self._made[dtype]

    def beginning(self, begins: Sequence[int]) -> Packed:
        """The same, with what is learned of each document beginning there."""
        return replace(self, begins=tuple(map(int, begins)))

    @cached_property
    def _laid(self) -> _Laid:
        return _tiles(self._lengths)

    @property
    def _lengths(self) -> NDArray[np.int64]:
        return np.asarray([*self.lengths, self.spare] if self.spare else self.lengths, dtype=np.int64)

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | str = "cpu", *, grain: int = 1) -> Packed:
        """Lay out documents of these lengths, and as many spare tokens as make T a multiple of ``grain``."""
        spare = -sum(lengths) % grain
        n = np.asarray([*lengths, spare] if spare else lengths, dtype=np.int64)
        bounds = np.concatenate(([0], np.cumsum(n)))
        positions = np.arange(int(n.sum())) - np.repeat(bounds[:-1], n)
        put = [torch.from_numpy(x).to(device) for x in (positions, bounds.astype(np.int32))]
        return cls(tuple(map(int, lengths)), put[0], put[1], spare)


def _tiles(lengths: NDArray[np.int64]) -> _Laid:
    """(size, tiles of documents): the short ones fitted together longest first, the others by size."""
    short: list[list[int]] = []
    by_size: dict[int, list[list[int]]] = {}
    # room[r] holds the tiles with r slots left; the fullest tile that still fits is taken.
    room: list[list[int]] = [[] for _ in range(_SHORT + 1)]
    for i in np.argsort(-lengths, kind="stable").tolist():
        n = int(lengths[i])
        if n > _SHORT:
            by_size.setdefault(-(-n // _STEP) * _STEP, []).append([i])
            continue
        left = next((r for r in range(n, _SHORT + 1) if room[r]), None)
        if left is None:
            short.append([])
            tile, left = len(short) - 1, _SHORT
        else:
            tile = room[left].pop()
        short[tile].append(i)
        room[left - n].append(tile)
    return ([(_SHORT, short)] if short else []) + sorted(by_size.items())


class _PackedAttention(torch.autograd.Function):
    """Causal attention of each document on its own, on CPU.

    Written out, forward and backward. The backward of a gather is then a gather again (autograd would add
    into place, slowly and, with several threads, in no fixed order); and at these sizes plain batched matrix products
    are several times faster than the fused CPU kernel, whose bfloat16 backward is its weakest part.
    Probabilities of short tiles are kept for the backward pass, those of long ones are made again.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, tiles: Tiles, scale: float) -> Tensor:
        # q [T, H, D]; k, v [T, K, D] -> [T, H, D]
        heads, kept = q.shape[1], []
        parts = []
        for g in tiles.groups:
            qg = _tile(q, g)
            kg, vg = _repeat(_tile(k, g), heads), _repeat(_tile(v, g), heads)
            if g.size <= _BLOCK:
                p = _probabilities(qg, kg, g.mask, scale)
                og = p @ vg
                kept.append(p)
            else:
                og = torch.empty_like(qg)
                for a, b in _blocks(g.size):
                    p = _probabilities(qg[:, :, a:b], kg[:, :, :b], g.mask[:, :, a:b, :b], scale)
                    og[:, :, a:b] = p @ vg[:, :, :b]
            parts.append(_untile(og))
        ctx.save_for_backward(q, k, v, *kept)
        ctx.tiles, ctx.scale = tiles, scale
        return torch.cat(parts).index_select(0, tiles.order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, *kept = ctx.saved_tensors
        heads, kv_heads, scale = q.shape[1], k.shape[1], ctx.scale
        dq, dk, dv = [], [], []
        for g in ctx.tiles.groups:
            qg = _tile(q, g)
            kg, vg = _repeat(_tile(k, g), heads), _repeat(_tile(v, g), heads)
            dog = _tile(grad, g, zero_padding=True)
            if g.size <= _BLOCK:
                p = kept.pop(0)
                dvg = p.mT @ dog
                ds = softmax_backward(dog @ vg.mT, p).mul_(scale)
                dqg, dkg = ds @ kg, ds.mT @ qg
            else:
                dqg, dkg, dvg = torch.empty_like(qg), torch.zeros_like(kg), torch.zeros_like(vg)
                for a, b in _blocks(g.size):
                    p = _probabilities(qg[:, :, a:b], kg[:, :, :b], g.mask[:, :, a:b, :b], scale)
                    dob = dog[:, :, a:b]
                    dvg[:, :, :b] += p.mT @ dob
                    ds = softmax_backward(dob @ vg[:, :, :b].mT, p).mul_(scale)
                    dqg[:, :, a:b] = ds @ kg[:, :, :b]
                    dkg[:, :, :b] += ds.mT @ qg[:, :, a:b]
            dq.append(_untile(dqg))
            dk.append(_untile(_unrepeat(dkg, kv_heads)))
            dv.append(_untile(_unrepeat(dvg, kv_heads)))
        order = ctx.tiles.order
        return *(torch.cat(x).index_select(0, order) for x in (dq, dk, dv)), None, None


def _probabilities(q: Tensor, k: Tensor, mask: Tensor, scale: float) -> Tensor:
    scores = q @ k.mT
    torch.add(mask, scores, alpha=scale, out=scores)
    return torch.softmax(scores, -1)


def _blocks(size: int) -> list[tuple[int, int]]:
    return [(a, min(size, a + _BLOCK)) for a in range(0, size, _BLOCK)]


def _tile(x: Tensor, g: Group, zero_padding: bool = False) -> Tensor:
    """[T, H, D] -> [N, H, S, D]"""
    part = x.index_select(0, g.gather)
    if zero_padding:
        part.index_fill_(0, g.padded, 0)
    return part.view(g.tiles, g.size, x.shape[1], x.shape[2]).transpose(1, 2)


def _untile(x: Tensor) -> Tensor:
    """[N, H, S, D] -> [N * S, H, D]"""
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3])


def _repeat(x: Tensor, heads: int) -> Tensor:
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _unrepeat(x: Tensor, kv_heads: int) -> Tensor:
    if x.shape[1] == kv_heads:
        return x
    n, heads, size, width = x.shape
    return x.view(n, kv_heads, heads // kv_heads, size, width).sum(2)


def _capped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, dropout: float, scale: float, cap: float) -> Tensor:
    """Attention whose scores have a soft limit (Gemma 2). Slots without a token look at themselves alone."""
    scores = cap * torch.tanh((q @ k.mT) * scale / cap)
    p = torch.softmax(scores.masked_fill(~mask, float("-inf")).float(), -1).to(q.dtype)
    return nn.functional.dropout(p, dropout) @ v


_HARMLESS = frozenset({"position_ids", "position_embeddings", "cache_position", "use_cache"})
"""Arguments that some models pass on although they have used them before: the keys hold the positions already."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: Packed | None = None,
    fused: bool = True,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The transformers attention interface: query [1, H, T, D], key and value [1, K, T, D] -> [1, T, H, D].

    A keyword that is not known here may change what the model computes, so it is refused unless it asks for nothing.
    """
    if packed is None:
        raise TrainError(
            "This model has packed attention, which needs to know where documents end (packed=...). "
            'For generation load it with attention="sdpa".'
        )
    unknown = sorted(name for name, value in others.items() if name not in _HARMLESS and _asks(value))
    if is_causal is False:
        unknown = ["is_causal=False", *unknown]
    if attention_mask is not None:
        unknown = ["a mask of its own", *unknown]
    if unknown:
        asked = ", ".join(unknown)
        raise TrainError(
            f"{type(module).__name__} asks its attention for {asked}, which packed attention does not know."
        )
    packed.asked.add(id(module))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    q, k, v = (x.transpose(1, 2)[0] for x in (query, key, value))
    windowed = sliding_window is not None and packed.longest > sliding_window
    if fused and not dropout and not softcap and v.shape[-1] == q.shape[-1]:
        if varlen.available(q):
            window = sliding_window if windowed else None
            return varlen.documents(q, k, v, packed.bounds, packed.longest, scale, window)[None], None
        if q.device.type == "cpu" and not windowed:
            out = _PackedAttention.apply(q, k, v, packed.tiles(q.dtype), scale)  # type: ignore[no-untyped-call]
            return out[None], None
    parts, tiles = [], packed.tiles(q.dtype)
    for g in tiles.groups:
        qg, kg, vg = (_tile(x, g) for x in (q, k, v))
        mask = g.mask == 0
        if windowed and sliding_window is not None:
            i = torch.arange(g.size, device=q.device)
            mask = mask & (i[:, None] - i < sliding_window)
        kg, vg = _repeat(kg, q.shape[1]), _repeat(vg, q.shape[1])
        if softcap:
            og = _capped(qg, kg, vg, mask, dropout, scale, float(softcap))
        else:
            og = nn.functional.scaled_dot_product_attention(qg, kg, vg, attn_mask=mask, dropout_p=dropout, scale=scale)
        parts.append(_untile(og))
    return torch.cat(parts).index_select(0, tiles.order)[None], None


def _asks(value: Any) -> bool:
    """Whether the value of a keyword asks for anything."""
    return value is not None and value is not False


register(NAME, packed_attention)
