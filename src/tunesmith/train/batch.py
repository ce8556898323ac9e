"""Documents laid end to end as tensors: what one forward pass works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.models.attention import Packed
from tunesmith.plan import Item, Row, TokenStore

GRAIN = 32
"""T is a multiple of this. The CPU's matrix products are compiled for each shape: shapes that come again are a quarter
faster than ever new ones, and do not fill the memory with kernels. It costs one token in a hundred of a small batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """T tokens of whole documents, M of which are to be predicted; the last few may be spare."""

    ids: Tensor
    """[T]"""
    packed: Packed
    at: Tensor
    """[M] where to predict from: the token before each target."""
    targets: Tensor
    """[M] the ids to predict."""
    items: tuple[Item, ...]
    """Which documents these are, in order."""
    owners: NDArray[np.int64]
    """[M] which of them each target stands in."""

    @property
    def tokens(self) -> int:
        """Those of the documents."""
        return self.packed.tokens

    @property
    def learned(self) -> int:
        return len(self.targets)


def collate(
    rows: Sequence[Row],
    sources: Mapping[str, TokenStore],
    *,
    learn_all: bool = False,
    device: torch.device | str = "cpu",
) -> Batch:
    """Lay the documents of ``rows`` end to end. ``learn_all`` teaches every token but the first of each."""
    items = tuple(item for row in rows for item in row)
    encoded = [sources[item.source][item.index] for item in items]
    lengths = [len(e.ids) for e in encoded]
    packed = Packed.of(lengths, device, grain=GRAIN)
    # Spare tokens repeat an id of the batch, so that they bring no weights into play that the documents do not.
    ids = np.concatenate([*(e.ids for e in encoded), *[encoded[0].ids[:1]] * packed.spare]).astype(np.int64)
    learn = np.concatenate([e.learn for e in encoded])
    if learn_all:
        learn = np.ones_like(learn)
    # The first token of a document has nothing before it; its neighbour on the left is another document.
    starts = np.cumsum([0, *lengths[:-1]])
    learn[starts] = False
    targets = np.flatnonzero(learn)
    first = np.minimum(np.searchsorted(targets, starts), len(targets) - 1)
    packed = packed.beginning((targets[first] - starts).tolist() if len(targets) else ())
    return Batch(
        torch.from_numpy(ids).to(device),
        packed,
        torch.from_numpy(targets - 1).to(device),
        torch.from_numpy(ids[targets]).to(device),
        items,
        np.repeat(np.arange(len(lengths)), lengths)[targets],
    )
