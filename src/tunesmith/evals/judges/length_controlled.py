"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024): how often would a model win at equal lengths?

    rows = [Judged, ...]                             a judge's preferences between a model and a baseline
    controlled(rows, difficulty, gamed)              the win rate, as predicted for answers of the same length
    difficulties({"model": rows, ...})               how hard each instruction is, fitted from many models
    length_controlled(preferred, longer)             the same without instructions, for any two models

A logistic regression predicts the preference from three terms: tanh of the standardised difference of lengths, the
difficulty of the instruction, and the model itself. The prediction without the first term is the result. As in the
original, the weights have an L1 penalty whose strength is chosen by cross-validation (five folds, ten strengths), and
annotations of the baseline that was told to be short or long (``gamed``) join the fit with a weight of 0.1 each: they
show the effect of length alone, so that a model gains nothing by answering at one extreme length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunesmith.core.errors import EvalError

Floats = NDArray[np.float64]

_STRENGTHS = np.logspace(-4, 4, 10)
"""Inverse strengths of the penalty that are tried (scikit-learn's ``C``)."""
_FOLDS = 5
_GAMED = 0.1
"""The weight of a gamed annotation: 0.2, shared by the short baseline and the long one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One preference of a judge."""

    instruction: str
    preferred: float
    """1: the model; 0: the baseline; between them for uncertainty."""
    shorter: float
    """By how many characters the model's answer is shorter than the baseline's."""


@dataclass(frozen=True, slots=True)
class Controlled:
    """A win rate at equal lengths, from 0 to 1."""

    rate: float
    error: float
    """Standard error of the predictions, as the original reports it."""
    length: float
    """Weight of the difference of lengths."""
    difficulty: float
    """Weight of the instruction's difficulty; 0 where none is known."""
    model: float
    """Weight of the model: its logit on an instruction of difficulty 0."""


@dataclass(frozen=True, slots=True)
class Gamed:
    """Annotations of the baseline that was told to answer shortly or at length: tanh of lengths, difficulty, y."""

    lengths: Floats
    difficulty: Floats
    preferred: Floats


def controlled(
    rows: Sequence[Judged], difficulty: Mapping[str, float] | None = None, gamed: Gamed | None = None
) -> Controlled:
    """The length-controlled win rate of one model."""
    y, lengths = _columns(rows)
    missing = next((row.instruction for row in rows if difficulty and row.instruction not in difficulty), None)
    if missing is not None:
        raise EvalError(f"The difficulty of an instruction is not known: {missing[:80]!r}.")
    hard = np.array([difficulty[row.instruction] if difficulty else 0.0 for row in rows])
    mine = np.stack([lengths, hard, np.ones(len(y))], 1)
    if gamed is None:
        weights = _fitted(mine, y, np.ones(len(y)))
    else:
        others = np.stack([gamed.lengths, gamed.difficulty, np.zeros(len(gamed.lengths))], 1)
        if difficulty is None:
            others[:, 1] = 0.0
        importance = np.concatenate([np.full(len(others), _GAMED), np.ones(len(y))])
        weights = _fitted(np.concatenate([others, mine]), np.concatenate([gamed.preferred, y]), importance)
    predicted = _logistic(mine[:, 1:] @ weights[1:])
    error = float(predicted.std(ddof=1) / len(y) ** 0.5) if len(y) > 1 else float("nan")
    return Controlled(float(predicted.mean()), error, *map(float, weights))


def length_controlled(preferred: ArrayLike, longer: ArrayLike) -> float:
    """The share of comparisons, from 0 to 1, that would be won if both answers were as long.

    ``preferred`` is from 0 to 1; ``longer`` is by how many characters ours is longer. A model wins half against
    itself, and what one wins the other loses. Without gamed annotations, lengths that never change cannot be told
    from the model itself.
    """
    y, d = np.asarray(preferred, np.float64), np.asarray(longer, np.float64)
    if y.shape != d.shape or not len(y) or y.min() < 0 or y.max() > 1:
        raise EvalError("A win rate needs a preference from 0 to 1 and a difference of lengths for each comparison.")
    return controlled(
        [Judged(str(i), p, -by) for i, (p, by) in enumerate(zip(y.tolist(), d.tolist(), strict=True))]
    ).rate


def gamed_from(sides: Sequence[Sequence[Judged]], difficulty: Mapping[str, float] | None) -> Gamed:
    """The gamed annotations: those of the short baseline and of the long one; their lengths are standardised apart."""
    columns = [_columns(rows) for rows in sides]
    hard = [difficulty.get(row.instruction, 0.0) if difficulty else 0.0 for rows in sides for row in rows]
    y, lengths = (np.concatenate([column[i] for column in columns]) for i in (0, 1))
    return Gamed(lengths, np.array(hard), y)


def difficulties(models: Mapping[str, Sequence[Judged]], steps: int = 60) -> dict[str, float]:
    """The difficulty of each instruction, fitted to all models at once.

    Every model has its own weight of length and its own constant; instructions are shared. A small ridge penalty keeps
    an instruction that every model wins or loses finite. The mean is 0.
    """
    names = list(dict.fromkeys(row.instruction for rows in models.values() for row in rows))
    number = {name: i for i, name in enumerate(names)}
    sides = []
    for rows in models.values():
        y, lengths = _columns(rows)
        sides.append((np.array([number[r.instruction] for r in rows]), y, np.stack([lengths, np.ones(len(y))], 1)))
    hard, own = np.zeros(len(names)), [np.zeros(2) for _ in sides]
    for _ in range(steps):
        slope, curve = -_RIDGE * hard, np.full(len(names), _RIDGE)
        for i, (at, y, x) in enumerate(sides):
            for _ in range(2):
                p = _logistic(x @ own[i] + hard[at])
                curved = (x * (p * (1 - p))[:, None]).T @ x + _PULL * np.eye(2)
                own[i] = own[i] + np.linalg.solve(curved, x.T @ (y - p) - _PULL * own[i])
            p = _logistic(x @ own[i] + hard[at])
            slope = slope + np.bincount(at, y - p, len(names))
            curve = curve + np.bincount(at, p * (1 - p), len(names))
        hard = hard + 0.8 * slope / curve
        hard -= hard.mean()
    return dict(zip(names, hard.tolist(), strict=True))


_RIDGE = 0.4
"""Of difficulties: with it they come nearest to AlpacaEval's (benchmarks/win_rate.py)."""
_PULL = 1e-2
"""Of the models' own weights, while difficulties are fitted."""


def _columns(rows: Sequence[Judged]) -> tuple[Floats, Floats]:
    """Preferences, and tanh of the standardised differences of lengths."""
    if not rows:
        raise EvalError("There are no preferences, so there is no win rate.")
    y, d = np.array([row.preferred for row in rows]), np.array([row.shorter for row in rows], np.float64)
    spread = float(d.std(ddof=1)) if len(d) > 1 else 0.0
    return y, np.tanh(d / spread) if spread > 0 else np.zeros_like(d)


def _fitted(x: Floats, y: Floats, importance: Floats) -> Floats:
    """Weights of the logistic regression, with the penalty that predicts held-out folds best."""
    fold = (len(y) - 1 - np.arange(len(y))) % _FOLDS
    gains = np.zeros(len(_STRENGTHS))
    for held in range(min(_FOLDS, len(y)) if len(y) >= _FOLDS else 0):
        learn, test = fold != held, fold == held
        weights = np.zeros(x.shape[1])
        for i, strength in enumerate(_STRENGTHS):
            weights = _regression(x[learn], y[learn], importance[learn], float(strength), weights)
            z = x[test] @ weights
            gains[i] -= float((importance[test] * (np.logaddexp(0, z) - y[test] * z)).mean())
    best = float(_STRENGTHS[int(gains.argmax())]) if len(y) >= _FOLDS else 1.0
    return _regression(x, y, importance, best, np.zeros(x.shape[1]))


def _regression(x: Floats, y: Floats, importance: Floats, strength: float, start: Floats) -> Floats:
    """The weights that minimise ``|w| + strength * log loss``: Newton's steps, each by coordinate descent."""
    weights = start

    def cost(w: Floats) -> float:
        z = x @ w
        return float(np.abs(w).sum() + strength * (importance * (np.logaddexp(0, z) - y * z)).sum())

    for _ in range(100):
        p = _logistic(x @ weights)
        slope = strength * x.T @ (importance * (p - y))
        curve = strength * (x * (importance * p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(len(weights))
        aim = weights.copy()
        for _ in range(50):
            for j in range(len(aim)):
                z = aim[j] - (slope[j] + curve[j] @ (aim - weights)) / curve[j, j]
                aim[j] = np.sign(z) * max(abs(z) - 1 / curve[j, j], 0.0)
        step, part, now = aim - weights, 1.0, cost(weights)
        while cost(weights + part * step) > now + 1e-12 and part > 1e-6:
            part /= 2
        weights = weights + part * step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _logistic(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))
