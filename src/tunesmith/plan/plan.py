"""The order of a whole training run, as a pure function of (lengths, shares, seed, step).

Every source is an endless stream: its rows shuffled, then shuffled anew, so that each row is seen once
before any is seen twice. Global batch ``s`` takes from each stream the rows that begin in the stretch
``[s * quota, (s + 1) * quota)`` of its tokens. Where a stretch begins is known without walking there, so
``batch(s)`` has no state: a killed run, another number of workers or another accumulation sees the
same batches.

Within a batch the rows are sorted by length and cut into rows of at most ``row_length`` tokens, laid end
to end. A row is a budget, not a shape: nothing fills up its end, and equal lengths stand together, so that
attention, which looks at each document on its own, needs little padding as well.

In: lengths per source, a share per source. Out: for a step, rows of (source, index).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.plan.rng import generator


class Item(NamedTuple):
    """One document: row ``index`` of the store ``source``."""

    source: str
    index: int  # type: ignore[assignment]  # a tuple's own method of that name is not needed


Row = tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a plan will do, for the log and for the table realised / asked."""

    steps: int
    documents: int
    tokens: int
    rows: int
    asked: Mapping[str, float]
    """Share of the documents, as asked."""
    realised: Mapping[str, float]
    """Share of the documents, as drawn over the reported steps."""
    token_share: Mapping[str, float]
    epochs: Mapping[str, float]
    """How often each source is gone through in the whole run."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """One source without end."""

    name: str
    kept: NDArray[np.int64]
    """The rows that are drawn (rows that teach nothing are not)."""
    lengths: NDArray[np.int64]
    total: int
    rate: Fraction
    """Tokens of this source in one token of the run."""


class Plan:
    """``plan.batch(s)`` for every step of a run.

    ``shares`` are shares of documents, as in examples-proportional mixing, not of tokens; they need not add
    up to one. ``batch_tokens`` is the size of a global batch, met up to a document; ``row_length`` bounds
    a row, and every document must fit in one.
    """

    def __init__(
        self,
        lengths: Mapping[str, NDArray[np.int64]],
        shares: Mapping[str, float],
        *,
        seed: int,
        batch_tokens: int,
        row_length: int,
        steps: int,
        keep: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        self.seed, self.batch_tokens, self.row_length, self.steps = seed, batch_tokens, row_length, steps
        self._streams = _streams(lengths, shares, keep or {})
        self._shares = dict(shares)
        self._epochs: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        longest = {s.name: int(s.lengths.max()) for s in self._streams}
        too_long = {n: x for n, x in longest.items() if x > row_length}
        if too_long:
            raise DataError(
                f"Rows are longer than row_length {row_length}: "
                + ", ".join(
                    f"{int((s.lengths > row_length).sum())} of {s.name!r} (longest {longest[s.name]})"
                    for s in self._streams
                    if s.name in too_long
                )
                + ". Raise row_length, or give a max_length when encoding; nothing is cut in silence."
            )
        # A stretch at least as long as the longest row holds the beginning of one: no batch is empty. Where many
        # sources share a batch none may be that long, and yet some row begins in each: then all batches are looked at.
        sure = any(batch_tokens * s.rate >= longest[s.name] for s in self._streams)
        if not sure and (empty := self._empty()):
            need = min(int(np.ceil(longest[s.name] / float(s.rate))) for s in self._streams)
            raise DataError(
                f"batch_tokens {batch_tokens} is too small for rows this long: {empty} of {steps} batches would be "
                f"empty. With {need} none is."
            )

    def batch(self, step: int) -> tuple[Row, ...]:
        """The rows of global batch ``step``, counted from 0."""
        found: list[tuple[int, Item]] = []
        for stream in self._streams:
            a, b = self._stretch(stream, step), self._stretch(stream, step + 1)
            for index, length in self._between(stream, a, b):
                found.append((length, Item(stream.name, index)))
        found.sort()
        rows: list[Row] = []
        row: list[Item] = []
        filled = 0
        for length, item in found:
            if filled + length > self.row_length:
                rows.append(tuple(row))
                row, filled = [], 0
            row.append(item)
            filled += length
        rows.append(tuple(row))
        return tuple(rows)

    def report(self, steps: int | None = None) -> PlanReport:
        """Count what the first ``steps`` batches hold (default: the whole run)."""
        n = min(self.steps, steps if steps is not None else self.steps)
        documents: dict[str, int] = {s.name: 0 for s in self._streams}
        tokens = dict(documents)
        rows = 0
        lengths = {s.name: dict(zip(s.kept.tolist(), s.lengths.tolist(), strict=True)) for s in self._streams}
        for step in range(n):
            batch = self.batch(step)
            rows += len(batch)
            for row in batch:
                for item in row:
                    documents[item.source] += 1
                    tokens[item.source] += lengths[item.source][item.index]
        all_documents, all_tokens = sum(documents.values()), sum(tokens.values())
        asked = sum(self._shares.values())
        return PlanReport(
            n,
            all_documents,
            all_tokens,
            rows,
            {k: v / asked for k, v in self._shares.items() if v > 0},
            {k: v / max(1, all_documents) for k, v in documents.items()},
            {k: v / max(1, all_tokens) for k, v in tokens.items()},
            {s.name: float(self.steps * self.batch_tokens * s.rate / s.total) for s in self._streams},
        )

    def _empty(self) -> int:
        """How many batches no row begins in."""
        begun = np.zeros(self.steps, dtype=np.bool_)
        for stream in self._streams:
            if begun.all():
                break
            edges = np.array([self._stretch(stream, step) for step in range(self.steps + 1)])
            for epoch in range(-(-int(edges[-1]) // stream.total)):
                starts = self._epoch(stream, epoch)[1] + epoch * stream.total
                begun[np.searchsorted(edges, starts[starts < edges[-1]], side="right") - 1] = True
        return int(self.steps - begun.sum())

    def _stretch(self, stream: _Stream, step: int) -> int:
        """Where batch ``step`` begins in the stream; whole numbers, so nothing drifts in a long run."""
        return step * self.batch_tokens * stream.rate.numerator // stream.rate.denominator

    def _between(self, stream: _Stream, a: int, b: int) -> list[tuple[int, int]]:
        """(index, length) of the rows that begin in ``[a, b)`` of the endless stream."""
        out: list[tuple[int, int]] = []
        for epoch in range(a // stream.total, -(-b // stream.total)):
            order, starts = self._epoch(stream, epoch)
            base = epoch * stream.total
            i, j = np.searchsorted(starts, (a - base, b - base))
            chosen = order[i:j]
            out += zip(stream.kept[chosen].tolist(), stream.lengths[chosen].tolist(), strict=True)
        return out

    def _epoch(self, stream: _Stream, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shuffled order of an epoch and where each row of it begins. Kept only to save time."""
        key = (stream.name, epoch)
        if key not in self._epochs:
            while len(self._epochs) >= 2 * len(self._streams) + 2:
                self._epochs.pop(next(iter(self._epochs)))
            order = generator(self.seed, "order", stream.name, epoch).permutation(len(stream.kept))
            ends = np.cumsum(stream.lengths[order])
            self._epochs[key] = (order, np.concatenate(([0], ends[:-1])))
        return self._epochs[key]


def _streams(
    lengths: Mapping[str, NDArray[np.int64]],
    shares: Mapping[str, float],
    keep: Mapping[str, NDArray[np.bool_]],
) -> tuple[_Stream, ...]:
    for name in shares:
        if name not in lengths:
            raise UnknownName("Source", name, lengths)
    forgotten = sorted(set(lengths) - set(shares))
    if forgotten:
        raise DataError(f"No share is given for {', '.join(forgotten)}; 0 leaves a source out.")
    if any(not 0 <= share < float("inf") for share in shares.values()) or sum(shares.values()) <= 0:
        raise DataError(f"Shares must be zero or more, and one above zero; got {dict(shares)}.")
    found = []
    for name in sorted(shares):
        if shares[name] == 0:
            continue
        mask = keep.get(name, np.ones(len(lengths[name]), dtype=np.bool_))
        kept = np.flatnonzero(mask)
        if not len(kept):
            raise DataError(
                f"Source {name!r} has nothing to learn from ({len(mask)} rows, 0 usable). "
                "Look at it with: tunesmith show"
            )
        length = np.asarray(lengths[name], dtype=np.int64)[kept]
        # Shares count documents, quotas count tokens: multiply by the mean length.
        wanted = Fraction(shares[name]).limit_denominator(10**9) * Fraction(int(length.sum()), len(kept))
        found.append((name, kept, length, wanted))
    total = sum(w for *_, w in found)
    return tuple(_Stream(n, k, x, int(x.sum()), Fraction(w / total)) for n, k, x, w in found if w)
