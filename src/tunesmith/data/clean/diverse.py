"""Diversity: select a number of rows that are as different from each other as possible.

    points = vectors(texts)                 a point on the sphere for each text, near for alike words
    chosen = k_center(points, 1000)         always the row that is farthest from all that are taken
    chosen = by_clusters(points, 1000)      equally many of each of some clusters (k-means)

A point is the sum of fixed random directions of a text's words, each weighed by how rare the word is among the texts:
no model, the same on every machine. It compares words, not meaning; for meaning, pass the embeddings of a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.clean.step import words

SIZE = 64
_TABLE = 1 << 16
"""Words are numbers below this; two that share one are one word here."""

Points = NDArray[np.float32]


def vectors(texts: Iterable[str]) -> Points:
    """A point of length one for each text; the origin for one without words."""
    bags = [np.unique([crc32(word.encode()) % _TABLE for word in words(text)]).astype(np.int64) for text in texts]
    flat = np.concatenate([np.zeros(0, np.int64), *bags])
    rare = np.log((1 + len(bags)) / (1 + np.bincount(flat, minlength=_TABLE))).astype(np.float32)
    draw = np.random.Generator(np.random.PCG64(7))
    directions = draw.standard_normal((_TABLE, SIZE), np.float32) * rare[:, None]
    points = np.zeros((len(bags), SIZE), np.float32)
    for i, bag in enumerate(bags):
        points[i] = directions[bag].sum(0)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    found: Points = np.divide(points, lengths, out=points, where=lengths > 0)
    return found


def k_center(points: Points, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Greedy k-center (Gonzalez 1985): at most twice as far from any row as the best choice of so many."""
    if count >= len(points):
        return np.arange(len(points))
    chosen = np.zeros(count, np.int64)
    chosen[0] = np.random.Generator(np.random.PCG64(seed)).integers(len(points))
    nearest = points @ points[chosen[0]]  # the cosine with the nearest of the chosen
    for n in range(1, count):
        nearest[chosen[n - 1]] = np.inf  # is taken
        chosen[n] = int(np.argmin(nearest))
        np.maximum(nearest, points @ points[chosen[n]], out=nearest)
    return np.sort(chosen)


def by_clusters(points: Points, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Equally many rows of each cluster, those nearest its centre first; what small clusters lack, others give."""
    if count >= len(points):
        return np.arange(len(points))
    clusters = max(1, min(count, round(np.sqrt(len(points)))))
    centres = points[k_center(points, clusters, seed)]  # far from each other, so that no kind is forgotten
    label = np.zeros(len(points), np.int64)
    for _ in range(10):
        label = np.argmax(points @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, label, points)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.divide(sums, lengths, out=centres.copy(), where=lengths > 0)
    near = np.einsum("ij,ij->i", points, centres[label])
    order = np.lexsort((-near, label))
    starts = np.searchsorted(label[order], np.arange(clusters))
    turn = np.arange(len(points)) - starts[label[order]]
    return np.sort(order[np.lexsort((label[order], turn))[:count]])
