"""Confidence intervals of one rate, and of the difference of two models on the same questions.

Questions are not independent: the same fact is asked with several templates and in several languages. So everything
here counts *groups* (clusters). The answers of a group tend to be right or wrong together; a hundred templates of one
fact say little more than one.

    interval(values, groups)                 a rate, with its 95 % interval
    paired(before, after, groups)            the improvement, with interval and p value
    crossed(values, groups, runs)            the same over several training runs (seeds)
    holm(tests)                              p values and intervals corrected for several comparisons (Holm)
    detectable(before, after, groups)        the smallest difference that the test can detect

All of them use one test (``score_test.py``). An interval is the set of means that the test does not reject, so the
interval of a difference excludes 0 exactly where its p value is below 5 %, also after Holm's correction.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunesmith.core.errors import EvalError
from tunesmith.evals.statistics.score_test import (
    ANY,
    DIFFERENCE,
    RATE,
    Floats,
    Kind,
    ScoreTest,
    known_test,
    score_test,
)

ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    n: int
    groups: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The change of a score on the same questions."""

    value: float
    """The mean of after - before."""
    low: float
    high: float
    p: float
    """Two-sided; below 0.05 exactly where the interval excludes 0."""
    better: int
    """Groups that rose."""
    worse: int
    """Groups that fell."""
    n: int
    groups: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of several comparisons."""

    p: float
    low: float
    high: float


def interval(values: ArrayLike, groups: Sequence[Hashable] | None = None, kind: Kind = RATE) -> Interval:
    """The mean of ``values`` and its interval; answers of one group count as correlated.

    A rate of values from 0 to 1 unless ``kind`` says otherwise. One group tells nothing about others, so its interval
    is everything that is possible.
    """
    x, g, count = _groups(values, groups)
    if len(x) == 0:
        return Interval(float("nan"), kind.lowest, kind.highest, 0, 0)
    test = score_test(x, g, count, kind)
    return Interval(test.value, *test.bounds(ALPHA), len(x), count)


def paired(before: ArrayLike, after: ArrayLike, groups: Sequence[Hashable] | None = None) -> Difference:
    """How much better ``after`` is than ``before`` on the same questions, in the same order."""
    test = paired_test(before, after, groups)
    d, g, count = _groups(_gained(before, after), groups)
    sums = np.bincount(g, d, count)
    low, high = test.bounds(ALPHA)
    better, worse = int((sums > 1e-12).sum()), int((sums < -1e-12).sum())
    return Difference(test.value, low, high, test.p(), better, worse, len(d), count)


def paired_test(before: ArrayLike, after: ArrayLike, groups: Sequence[Hashable] | None = None) -> ScoreTest:
    """The test that the interval and the p value of ``paired`` are read from."""
    d, g, count = _groups(_gained(before, after), groups)
    if len(d) == 0:
        return ScoreTest(float("nan"), 0, DIFFERENCE)
    # Most metrics are shares from 0 to 1; bits per byte have no limit.
    shares = all(np.min(side) >= 0 and np.max(side) <= 1 for side in (before, after))
    return score_test(d, g, count, DIFFERENCE if shares else ANY)


def _gained(before: ArrayLike, after: ArrayLike) -> Floats:
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if a.shape != b.shape:
        raise EvalError(f"A paired comparison needs the same questions twice; found {a.shape} and {b.shape} answers.")
    with np.errstate(invalid="ignore"):
        return b - a


def crossed(
    values: ArrayLike, groups: Sequence[Hashable], runs: Sequence[Hashable], kind: Kind = DIFFERENCE
) -> tuple[Interval, ScoreTest]:
    """The mean of values of several runs on questions in groups, and the test that its interval is read from.

    Both vary by chance: another seed trains another model, and other questions might have been asked. So answers of
    one run are correlated, and answers about one fact in any run (two-way clustering; Cameron, Gelbach and Miller
    2011).
    """
    x, g, many_groups = _groups(values, groups)
    _, r, many_runs = _groups(values, runs)
    if len(x) == 0:
        return Interval(float("nan"), kind.lowest, kind.highest, 0, 0), ScoreTest(float("nan"), 0, kind)
    test = _crossed_test(x, g, many_groups, r, many_runs, kind)
    return Interval(float(x.mean()), *test.bounds(ALPHA), len(x), many_groups), test


def _crossed_test(
    x: Floats, g: NDArray[np.int64], many_groups: int, r: NDArray[np.int64], many_runs: int, kind: Kind
) -> ScoreTest:
    fewer = min(many_groups, many_runs)
    if fewer < 2:
        return ScoreTest(float(x.mean()), fewer, kind)
    cell = np.unique(r * many_groups + g, return_inverse=True)[1]
    by_group, by_run = _variance(x, g, many_groups), _variance(x, r, many_runs)
    variance = max(by_group + by_run - _variance(x, cell, int(cell.max()) + 1), by_group, by_run)
    if variance <= 0:
        # Nothing varies. A difference that all runs agree on is as sure as so few runs; a rate, or no difference at
        # all, as so many groups.
        return ScoreTest(float(x.mean()), fewer if kind is DIFFERENCE and x.any() else many_groups, kind)
    # Welch and Satterthwaite: few runs make the result unsure only as far as they are a part of the variance.
    unsure = by_run**2 / (many_runs - 1) + by_group**2 / (many_groups - 1)
    up, down = float(np.maximum(x, 0).mean()), float(np.maximum(-x, 0).mean())
    return known_test(float(x.mean()), up, down, many_groups, kind, variance, variance**2 / unsure)


def holm(tests: Sequence[ScoreTest]) -> list[Verdict]:
    """p values of several comparisons corrected by Holm (1979), and the intervals that agree with them.

    Holm multiplies the smallest p value by the number of comparisons, the next by one less, and so on. The interval of
    each is taken at 5 % divided by the same factor: it excludes 0 exactly where the corrected p value is below 5 %.
    """
    p = [test.p() for test in tests]
    found: list[Verdict] = [Verdict(1.0, float("nan"), float("nan"))] * len(p)
    worst = 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable").tolist()):
        worst = max(worst, (len(p) - rank) * p[i])
        factor = worst / p[i] if p[i] > 0 else float(len(p) - rank)
        low, high = tests[i].bounds(ALPHA / factor)
        found[i] = Verdict(min(1.0, worst), low, high)
    return found


def standard_error(values: ArrayLike, groups: Sequence[Hashable] | None = None) -> float:
    """Of the mean, answers of one group taken together; NaN where there are not two groups to learn from."""
    x, g, count = _groups(values, groups)
    return float(np.sqrt(_variance(x, g, count))) if count > 1 else float("nan")


def detectable(before: ArrayLike, after: ArrayLike, groups: Sequence[Hashable] | None = None) -> float:
    """The smallest true difference that these questions would find in four of five tries, at 5 % two-sided.

    It lies as far from 0 as the test reaches at 5 %, and as far again as a result falls short in one of five tries.
    """
    test = paired_test(before, after, groups)
    if test.groups < 2:
        return 1.0
    null = test.centred()
    return min(1.0, null.bounds(ALPHA)[1] + null.bounds(2 * (1 - POWER))[1])


def _groups(values: ArrayLike, groups: Sequence[Hashable] | None) -> tuple[Floats, NDArray[np.int64], int]:
    """Values, the number of each one's group, and how many groups there are."""
    x = np.asarray(values, dtype=np.float64)
    if groups is None:
        return x, np.arange(len(x), dtype=np.int64), len(x)
    if len(groups) != len(x):
        raise EvalError(f"{len(x)} values, but groups for {len(groups)}.")
    number: dict[Hashable, int] = {}
    g = np.array([number.setdefault(name, len(number)) for name in groups], dtype=np.int64)
    return x, g, len(number)


def _variance(x: Floats, g: NDArray[np.int64], count: int) -> float:
    """Of the mean of ``x``, whose values go together by group: how much the groups' sums of residuals vary."""
    return count / (count - 1) * float((np.bincount(g, x - x.mean(), count) ** 2).sum()) / len(x) ** 2
