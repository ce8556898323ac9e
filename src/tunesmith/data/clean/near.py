"""Near-duplicates: rows whose word sequences overlap, found by MinHash and judged exactly.

    found = shingles(texts)                          the set of word 5-grams of each text, as hashes
    keepers = duplicates(found, signatures(found))   for each row the first row that it repeats, or itself

Signatures propose pairs (rows that agree in all values of one band), the shingles themselves decide: two rows are the
same if their sets overlap by ``threshold`` or more (Jaccard). So there are no false merges but those of a chain: A is
like B, and B like C. Rows in one chain all have the first of them as keeper. Both functions give for a slice of the
texts the slice of the result, so any number of workers can share the work and the answer does not change.

With 20 bands of 6 values a pair of Jaccard 0.8 is proposed with probability 0.998, one of 0.5 with 0.27.

Words are runs of letters and digits in lower case; in scripts without spaces each character is a word. A text of fewer
than five words is one shingle, and an empty one is nobody's duplicate. Hashes are the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SIZE = 5
BANDS = 20
ROWS = 6
THRESHOLD = 0.8
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
"""A character of Thai, Lao, Burmese, Khmer, kana or Han; or a word."""
_AT_ONCE = 1 << 18
"""Values of the matrix of shingles by permutations that are made at a time: they fit in the cache."""
_TEXTS = 1 << 14
"""Texts whose words are in memory at a time."""
_NO_SHINGLE = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True)
class Shingles:
    """Row ``i`` is ``hashes[offsets[i]:offsets[i + 1]]``, sorted and without repetition."""

    hashes: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> NDArray[np.uint32]:
        return self.hashes[self.offsets[i] : self.offsets[i + 1]]

    @staticmethod
    def join(parts: Sequence[Shingles]) -> Shingles:
        """The rows of all parts, one after another."""
        if not parts:
            return Shingles(np.zeros(0, np.uint32), np.zeros(1, np.int64))
        starts = np.cumsum([0, *(part.offsets[-1] for part in parts)])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        return Shingles(np.concatenate([part.hashes for part in parts]), np.concatenate([*offsets, starts[-1:]]))


class _Hashes(dict[str, int]):
    """Words to 64 bits, each worked out once."""

    def __missing__(self, word: str) -> int:
        if len(self) > 1 << 20:
            self.clear()
        found = self[word] = int.from_bytes(
            blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
        )
        return found


_hashes = _Hashes()
_POWERS = np.array([0x9E3779B97F4A7C15**n % 2**64 for n in range(SIZE)], np.uint64)


def shingles(texts: Iterable[str]) -> Shingles:
    """The shingles of each text."""
    parts: list[Shingles] = []
    some: list[list[str]] = []
    for text in texts:
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        some.append(_WORD.findall(text.lower()))
        if len(some) == _TEXTS:
            parts.append(_of_words(some))
            some = []
    if some:
        parts.append(_of_words(some))
    return Shingles.join(parts)


def _of_words(texts: Sequence[Sequence[str]]) -> Shingles:
    lengths = np.array([len(words) for words in texts], np.int64)
    flat = np.fromiter(map(_hashes.__getitem__, (w for words in texts for w in words)), np.uint64, int(lengths.sum()))
    ends = np.cumsum(lengths)
    row = np.repeat(np.arange(len(texts)), lengths)
    mixed = np.zeros(len(flat), np.uint64)
    for n, power in enumerate(_POWERS):
        # Beyond the end of a text stands nothing, so a short text is the shingle of what it has.
        word = np.zeros(len(flat), np.uint64)
        word[: len(flat) - n] = flat[n:]
        if n:
            word[np.arange(len(flat)) + n >= ends[row]] = 0
        mixed += word * power
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    # Windows that begin in the last words of a longer text are no shingles.
    first = np.arange(len(flat)) - (ends - lengths)[row]
    whole = first <= np.maximum(lengths - SIZE, 0)[row]
    keys = np.unique((row[whole].astype(np.uint64) << np.uint64(32)) | (mixed[whole] & np.uint64(0xFFFFFFFF)))
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    return Shingles(keys.astype(np.uint32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def signatures(found: Shingles, permutations: int = BANDS * ROWS) -> NDArray[np.uint32]:
    """For each row and each of the permutations the least of the permuted shingles."""
    draw = np.random.Generator(np.random.PCG64(20))
    factors = draw.integers(0, 1 << 31, permutations, np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = draw.integers(0, 1 << 32, permutations, np.uint32)
    out = np.full((len(found), permutations), _NO_SHINGLE, np.uint32)
    filled = np.flatnonzero(np.diff(found.offsets))
    rows_at_once = max(1, _AT_ONCE // permutations)
    begin = 0
    while begin < len(filled):
        # As many rows as fit, and a row that does not fit by itself.
        end = int(np.searchsorted(found.offsets[filled + 1], found.offsets[filled[begin]] + rows_at_once, "right"))
        rows = filled[begin : max(end, begin + 1)]
        hashes = found.hashes[found.offsets[rows[0]] : found.offsets[rows[-1] + 1]]
        values = hashes[:, None] * factors
        values += shifts
        out[rows] = np.minimum.reduceat(values, found.offsets[rows] - found.offsets[rows[0]])
        begin += len(rows)
    return out


def duplicates(
    found: Shingles,
    signs: NDArray[np.uint32],
    *,
    bands: int = BANDS,
    threshold: float = THRESHOLD,
) -> NDArray[np.int64]:
    """For each row its keeper: the first row of all that it is connected with, which may be itself."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(found)
    keepers = np.arange(count)
    if count < 2:
        return keepers
    per_band = signs.shape[1] // bands
    filled = np.flatnonzero(np.diff(found.offsets))
    joined = [np.zeros((0, 2), np.int64)]
    judged: set[int] = set()
    for band in range(bands):
        keys = _band(signs[filled, band * per_band : (band + 1) * per_band])
        order = np.lexsort((filled, keys))
        rows, keys = filled[order], keys[order]
        begins = np.r_[True, keys[1:] != keys[:-1]]
        of_run = rows[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        # Each row of a run is held against the first of it and the one before: a run of n rows gives 2n pairs, not n^2.
        pairs = np.concatenate([np.c_[of_run, rows][~begins], np.c_[rows[:-1], rows[1:]][~begins[1:]]])
        pairs = np.unique(pairs, axis=0)
        fresh = [pair for pair in pairs.tolist() if pair[0] * count + pair[1] not in judged]
        judged.update(a * count + b for a, b in fresh)
        same = [pair for pair in fresh if jaccard(found[pair[0]], found[pair[1]]) >= threshold]
        joined.append(np.array(same, np.int64).reshape(-1, 2))
    edges = np.concatenate(joined)
    graph = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (count, count))
    _, label = connected_components(graph, directed=False)
    firsts = np.full(int(label.max()) + 1, count)
    np.minimum.at(firsts, label, keepers)
    found_keepers: NDArray[np.int64] = firsts[label]
    return found_keepers


def jaccard(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    """The share of their shingles that two rows have in common."""
    if len(a) == len(b) and np.array_equal(a, b):
        return 1.0 if len(a) else 0.0
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both) if both else 0.0


def _band(values: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One number for all values of a band."""
    key = np.zeros(len(values), np.uint64)
    for column in values.T:
        key = (key ^ column.astype(np.uint64)) * np.uint64(0x100000001B3)
        key ^= key >> np.uint64(31)
    return key
