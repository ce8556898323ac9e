"""Near-duplicates: rows whose word sequences overlap. MinHash proposes pairs, an exact comparison decides.

    printed = prints(texts)            of each text the word 5-grams, as hashes, and the keys of its bands
    keepers = duplicates(printed)      for each text the first one that it repeats, or itself

Keys propose pairs (texts that agree in all values of one band), the 5-grams themselves decide: two texts are the same
if their sets overlap by ``threshold`` or more (Jaccard). The only false merges are chains: A is similar to B, and
B to C. All texts of a chain have the first of them as keeper. ``prints`` gives for a slice of the texts the
slice of the result, so any number of workers can share the work and the answer does not change; what they ``save`` is
read back a band at a time, so that millions of texts need little memory.

With 20 bands of 6 values a pair of Jaccard 0.8 is proposed with probability 0.998, one of 0.5 with 0.27.

Words are runs of letters and digits in lower case; in scripts without spaces each character is a word. A text of fewer
than five words is one shingle, and an empty one is nobody's duplicate. Hashes are the same on every machine. There is
no loop over words: the letters of many texts are one array, and a word's hash is a difference of two running sums.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.text.rolling import BASE, stretches, sums

SIZE = 5
BANDS = 20
VALUES = 6
"""Values of a band."""
THRESHOLD = 0.8
_AT_ONCE = 1 << 18
"""Letters that are looked at together, and values of the matrix of shingles by permutations: they fit in the cache."""
_NO_SHINGLE = np.uint32(0xFFFFFFFF)
_SINGLE = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai and Lao, Burmese, Khmer
    *((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),  # kana, Han
)


class Printed(Protocol):
    """The prints of texts, wherever they are."""

    bands: int

    def __len__(self) -> int: ...

    def keys(self, band: int) -> NDArray[np.uint64]:
        """The keys of one band, one for each text."""
        ...

    def sizes(self) -> NDArray[np.int64]:
        """How many shingles each text has."""
        ...

    def of(self, text: int) -> NDArray[np.uint32]:
        """The shingles of a text, sorted."""
        ...


@dataclass(frozen=True)
class Prints:
    """Prints in memory: text ``i`` has the shingles ``hashes[offsets[i]:offsets[i + 1]]``, sorted and each once."""

    hashes: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    band_keys: NDArray[np.uint64]
    """A row for each band, a column for each text."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def bands(self) -> int:
        return len(self.band_keys)

    def keys(self, band: int) -> NDArray[np.uint64]:
        found: NDArray[np.uint64] = self.band_keys[band]
        return found

    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def of(self, text: int) -> NDArray[np.uint32]:
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]

    def save(self, path: Path) -> None:
        """Three files, whose names begin with ``path``: the keys are written last."""
        self.hashes.tofile(_shingles_file(path))
        np.save(_offsets_file(path), self.offsets)
        np.save(_keys_file(path), self.band_keys)


class PrintsOnDisk:
    """What was saved for several slices of the texts, as one; only what is asked for is read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        sizes = [np.diff(np.load(_offsets_file(path))) for path in paths]
        self._sizes = np.concatenate([np.zeros(0, np.int64), *sizes])
        self._starts = [0, *accumulate(map(len, sizes))]
        self._within = np.concatenate([np.zeros(0, np.int64), *(np.cumsum(size) - size for size in sizes)])
        self._files: dict[int, int] = {}
        self.bands = len(np.load(_keys_file(paths[0]), mmap_mode="r")) if paths else 0

    def __len__(self) -> int:
        return len(self._sizes)

    def keys(self, band: int) -> NDArray[np.uint64]:
        parts = [np.array(np.load(_keys_file(path), mmap_mode="r")[band]) for path in self._paths]
        return np.concatenate([np.zeros(0, np.uint64), *parts])

    def sizes(self) -> NDArray[np.int64]:
        return self._sizes

    def of(self, text: int) -> NDArray[np.uint32]:
        number = bisect_right(self._starts, text) - 1
        file = self._files.get(number)
        if file is None:
            if len(self._files) >= 128:
                self.close()
            file = self._files[number] = os.open(_shingles_file(self._paths[number]), os.O_RDONLY)
        return np.frombuffer(os.pread(file, 4 * int(self._sizes[text]), 4 * int(self._within[text])), np.uint32)

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()


def prints(texts: Iterable[str], bands: int = BANDS, values: int = VALUES) -> Prints:
    """The shingles and the keys of each text."""
    hashes: list[NDArray[np.uint32]] = []
    counts: list[NDArray[np.int64]] = []
    keys: list[NDArray[np.uint64]] = [np.zeros((bands, 0), np.uint64)]
    for some in _portions(texts):
        found, count = _shingles(some)
        hashes.append(found)
        counts.append(count)
        signs = _signatures(found, count, bands * values)
        keys.append(np.stack([_key(signs[:, band * values : (band + 1) * values]) for band in range(bands)]))
    offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
    return Prints(np.concatenate([np.zeros(0, np.uint32), *hashes]), offsets, np.concatenate(keys, axis=1))


def duplicates(
    printed: Printed, threshold: float = THRESHOLD, tell: Callable[[int], None] = lambda band: None
) -> NDArray[np.int64]:
    """For each text its keeper: the first of all texts that it is connected with, which may be itself. ``tell`` is
    called with the number of each band."""
    keepers = np.arange(len(printed))
    sizes = printed.sizes()
    filled = np.flatnonzero(sizes)
    unlike = np.zeros(0, np.int64)
    """Pairs that were judged and are not the same, as one number each, sorted."""
    for band in range(printed.bands):
        tell(band)
        keys = printed.keys(band)[filled]
        order = np.argsort(keys, kind="stable")
        rows, keys = filled[order], keys[order]
        begins = np.r_[True, keys[1:] != keys[:-1]][: len(keys)]
        of_run = rows[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        # Each text of a run is held against the first, and what is unlike that against the one before: n texts give
        # 2n pairs at most, not n^2.
        for pairs in (np.c_[of_run, rows][~begins], np.c_[rows[:-1], rows[1:]][~begins[1:]]):
            apart = pairs[keepers[pairs[:, 0]] != keepers[pairs[:, 1]]]
            apart = apart[_may_be(sizes[apart[:, 0]], sizes[apart[:, 1]], threshold)]
            codes = _new(apart[:, 0] * len(keepers) + apart[:, 1], unlike)
            apart = np.stack(np.divmod(codes, len(keepers)), axis=1)
            same = _same(printed, apart, threshold)
            unlike = np.sort(np.concatenate([unlike, codes[~same]]))
            keepers = _join(keepers, apart[same])
    return keepers


def _new(codes: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes that are not known, sorted, each once. NumPy has sets of its own, which are many times slower here."""
    codes = np.sort(codes)
    codes = codes[np.r_[True, codes[1:] != codes[:-1]][: len(codes)]]
    if not len(known):
        return codes
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found: NDArray[np.int64] = codes[known[at] != codes]
    return found


def _same(printed: Printed, pairs: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """Which pairs overlap by so much. They are sorted by their first text, which is then read once."""
    found = np.zeros(len(pairs), bool)
    last, mine = -1, np.zeros(0, np.uint32)
    for i, (a, b) in enumerate(pairs.tolist()):
        if a != last:
            last, mine = a, printed.of(a)
        found[i] = jaccard(mine, printed.of(b)) >= threshold
    return found


def jaccard(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    """The share of their shingles that two texts have in common."""
    if len(a) == len(b) and np.array_equal(a, b):
        return 1.0 if len(a) else 0.0
    every = np.concatenate([a, b])
    every.sort()
    both = int(np.count_nonzero(every[1:] == every[:-1]))
    return both / (len(every) - both)


def _may_be(a: NDArray[np.int64], b: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """Sets of these sizes can overlap by so much."""
    found: NDArray[np.bool_] = np.minimum(a, b) >= threshold * np.maximum(a, b) - 1e-9
    return found


def _join(keepers: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The keepers after the texts of each pair became one group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return keepers
    count = len(keepers)
    a = np.concatenate([np.arange(count), pairs[:, 0]])
    b = np.concatenate([keepers, pairs[:, 1]])
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), (count, count))
    _, label = connected_components(graph, directed=False)
    firsts = np.full(int(label.max()) + 1, count)
    np.minimum.at(firsts, label, np.arange(count))
    found: NDArray[np.int64] = firsts[label]
    return found


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lower case, as many at a time as have so many letters."""
    some: list[str] = []
    size = 0
    for text in texts:
        lower = (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()
        if some and size + len(lower) > _AT_ONCE:
            yield some
            some, size = [], 0
        some.append(lower)
        size += len(lower) + 1
    if some:
        yield some


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The shingles of all texts one after another, and how many each has."""
    joined = "\n".join(texts)
    letters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[letters]
    inside = kinds == 1
    single = kinds == 2
    before = np.r_[False, inside[:-1]]
    starts = np.flatnonzero((inside & ~before) | single)
    ends = np.flatnonzero((inside & ~np.r_[inside[1:], False]) | single) + 1
    words = _mixed(stretches(sums(letters), starts, ends))

    of_text = np.cumsum([0, *(len(text) + 1 for text in texts)])
    first = np.searchsorted(starts, of_text)  # the first word of each text
    lengths = np.diff(first)
    row = np.repeat(np.arange(len(texts)), lengths)
    after = np.repeat(first[1:], lengths) - np.arange(len(words))  # words from here to the end of the text
    mixed = np.zeros(len(words), np.uint64)
    for n, power in enumerate(_SHINGLE):
        # Beyond the end of a text stands nothing, so a short text is the shingle of what it has.
        here = max(0, len(words) - n)
        mixed[:here] += np.where(after[:here] > n, words[n:], np.uint64(0)) * power
    mixed = _mixed(mixed)
    # Windows that begin in the last words of a longer text are no shingles.
    whole = (after >= SIZE) | ((lengths < SIZE)[row] & (after == lengths[row]))
    keys = row[whole].astype(np.uint64) << np.uint64(32) | mixed[whole] >> np.uint64(32)
    keys.sort()
    keys = keys[np.r_[True, keys[1:] != keys[:-1]][: len(keys)]]
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    return keys.astype(np.uint32), counts.astype(np.int64)


def _signatures(hashes: NDArray[np.uint32], counts: NDArray[np.int64], permutations: int) -> NDArray[np.uint32]:
    """For each text and each of the permutations the least of the permuted shingles."""
    draw = np.random.Generator(np.random.PCG64(20))
    factors = draw.integers(0, 1 << 31, permutations, np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = draw.integers(0, 1 << 32, permutations, np.uint32)
    out = np.full((len(counts), permutations), _NO_SHINGLE, np.uint32)
    offsets = np.r_[0, np.cumsum(counts)]
    filled = np.flatnonzero(counts)
    rows_at_once = max(1, _AT_ONCE // permutations)
    begin = 0
    while begin < len(filled):
        # As many texts as fit, and one that does not fit by itself.
        end = int(np.searchsorted(offsets[filled + 1], offsets[filled[begin]] + rows_at_once, "right"))
        rows = filled[begin : max(end, begin + 1)]
        values = hashes[offsets[rows[0]] : offsets[rows[-1] + 1], None] * factors
        values += shifts
        out[rows] = np.minimum.reduceat(values, offsets[rows] - offsets[rows[0]])
        begin += len(rows)
    return out


def _key(values: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One number for all values of a band."""
    key = np.zeros(len(values), np.uint64)
    for column in values.T:
        key = (key ^ column) * np.uint64(0x100000001B3)
        key ^= key >> np.uint64(31)
    return key


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers whose bits all depend on all bits."""
    values ^= values >> np.uint64(29)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(32)
    return values


_SHINGLE = np.array([pow(BASE, n + 1, 1 << 64) for n in range(SIZE)], np.uint64)


@cache
def _kinds() -> NDArray[np.uint8]:
    """For each character: 0 is between words, 1 in a word, 2 a word by itself."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    kinds[[i for i in range(sys.maxunicode + 1) if chr(i).isalnum()]] = 1
    for first, last in _SINGLE:
        part = kinds[first : last + 1]
        part[part == 1] = 2
    return kinds


def _shingles_file(path: Path) -> Path:
    return path.with_name(path.name + ".shingles")


def _offsets_file(path: Path) -> Path:
    return path.with_name(path.name + ".offsets.npy")


def _keys_file(path: Path) -> Path:
    return path.with_name(path.name + ".keys.npy")
