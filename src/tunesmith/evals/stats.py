"""How sure a figure is: intervals for one rate, and for the difference of two models on the same questions.

Questions are not independent: the same fact is asked in several wordings and languages. All of this therefore
counts *groups* (clusters, in the words of statistics): a group's answers tend to be right or wrong together, so
a hundred wordings of one fact say little more than one.

    interval(values, groups)                 a rate, with its 95 % interval
    paired(before, after, groups)            how much better, with interval and exact p
    holm(p_values)                           the same p values, honest for all of them together
    detectable(before, after, groups)        the difference that such questions can find

Intervals are 95 % throughout. That they hold the truth 95 times of 100 is itself tested, by simulation.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunesmith.errors import EvalError

CONFIDENCE = 0.95
DRAWS = 4000
"""Bootstrap resamples: the ends of a 95 % interval then move by well under a tenth of its width."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range that holds the true one 95 times of 100."""

    value: float
    low: float
    high: float
    n: int
    groups: int


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a model changed on the same questions."""

    value: float
    """The mean of after - before."""
    low: float
    high: float
    p: float
    """Exact McNemar p: how often chance alone would move as many groups one way. Two-sided."""
    better: int
    """Groups that rose."""
    worse: int
    """Groups that fell."""
    n: int
    groups: int


def wilson(right: float, n: float, z: float | None = None) -> tuple[float, float]:
    """Wilson's interval of a rate: ``right`` of ``n`` independent questions (Wilson 1927).

    It never leaves [0, 1] and is honest at 0 % and 100 %, where the usual one has no width.
    """
    if n <= 0:
        return 0.0, 1.0
    z = _quantile(float("inf")) if z is None else z
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    low, high = centre - half, centre + half
    return (0.0 if right == 0 else max(0.0, low)), (1.0 if right == n else min(1.0, high))


def interval(values: ArrayLike, groups: Sequence[Hashable] | None = None) -> Interval:
    """The mean of ``values`` in [0, 1] and its interval; answers of one group count as going together.

    Wilson's interval for the number of independent questions that would be as sure as these
    (Korn and Graubard 1998): the variance between groups says how many that is. With few groups
    the t quantile stands for the normal one. Where every answer is the same there is no variance to
    learn from, and the number of groups is taken, which is the careful end.
    """
    x, g, count = _groups(values, groups)
    n = len(x)
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, 0, 0)
    value = float(x.mean())
    if count == 1:
        return Interval(value, 0.0, 1.0, n, 1)
    spread = value * (1 - value)
    variance = _variance(x, g, count)
    sure = float(count) if variance <= 0 or spread <= 0 else spread / variance
    sure = min(sure, float(n))
    z = _quantile(count - 1)
    low, high = wilson(value * sure, sure, z)
    return Interval(value, min(low, value), max(high, value), n, count)


def cluster_bootstrap(
    values: ArrayLike, groups: Sequence[Hashable] | None = None, *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """The mean of any values, with the interval that drawing whole groups again and again gives."""
    x, g, count = _groups(values, groups)
    if len(x) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    means = _resampled_means(_sums(g, x, count), np.bincount(g, minlength=count), seed, draws)
    low, high = _middle(means)
    return Interval(float(x.mean()), low, high, len(x), count)


def paired(
    before: ArrayLike,
    after: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Difference:
    """How much better ``after`` is than ``before`` on the same questions, in the same order.

    The interval draws whole groups again (a paired cluster bootstrap). The p value is McNemar's, exact, with a
    group as one observation that rose, fell or stayed. Where all groups moved alike the bootstrap
    has nothing to vary, and the interval is as wide as Wilson's for so many groups.
    """
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if a.shape != b.shape:
        raise EvalError(f"A paired comparison needs the same questions twice; found {a.shape} and {b.shape} answers.")
    d, g, count = _groups(b - a, groups)
    if len(d) == 0:
        return Difference(float("nan"), -1.0, 1.0, 1.0, 0, 0, 0, 0)
    sums, sizes = _sums(g, d, count), np.bincount(g, minlength=count)
    better, worse = int((sums > 1e-12).sum()), int((sums < -1e-12).sum())
    value = float(d.mean())
    if np.ptp(sums / sizes) < 1e-12:
        low = max(-1.0, value - (1 - wilson(count, count)[0]))
        high = min(1.0, value + (1 - wilson(count, count)[0]))
    else:
        low, high = _middle(_resampled_means(sums, sizes, seed, draws))
    return Difference(value, low, high, mcnemar(better, worse), better, worse, len(d), count)


def crossed(values: ArrayLike, groups: Sequence[Hashable], runs: Sequence[Hashable]) -> tuple[Interval, float]:
    """The mean of any values of several runs on questions in groups, and the two-sided p of its being 0.

    Both are drawn by luck: another seed trains another model, and other questions might have been asked. So answers of
    one run go together, and answers about one fact, in whatever run (two-way clustering; Cameron, Gelbach and
    Miller 2011).
    """
    from scipy.special import stdtr

    x, g, many_groups = _groups(values, groups)
    _, r, many_runs = _groups(values, runs)
    n = len(x)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0), 1.0
    value = float(x.mean())
    if many_runs < 2 or many_groups < 2:
        return Interval(value, float("-inf"), float("inf"), n, many_groups), 1.0
    cell = np.unique(r * many_groups + g, return_inverse=True)[1]

    by_group, by_run = _variance(x, g, many_groups), _variance(x, r, many_runs)
    both = by_group + by_run - _variance(x, cell, int(cell.max()) + 1)
    variance = max(both, by_group, by_run)
    error = float(np.sqrt(variance))
    if error == 0:
        # Nothing varies, so there is no spread to learn from: as wide as for so many groups that all agree, and no
        # surer than so many runs that all point one way.
        reach = 1 - wilson(many_groups, many_groups)[0]
        return Interval(value, value - reach, value + reach, n, many_groups), min(
            1.0, 2 * 0.5**many_runs
        ) if value else 1.0
    # Welch and Satterthwaite: few runs make the whole unsure only as far as their luck is a part of it.
    unsure = by_run**2 / (many_runs - 1) + by_group**2 / (many_groups - 1)
    freedom = variance**2 / unsure
    reach = _quantile(freedom) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return Interval(value, value - reach, value + reach, n, many_groups), p


def mcnemar(better: int, worse: int) -> float:
    """Two-sided exact p of a split of ``better`` against ``worse``, were both equally likely."""
    from scipy.stats import binomtest  # heavy, and only needed here

    n = better + worse
    return 1.0 if n == 0 else float(binomtest(better, n, 0.5).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """p values made honest for having looked at all of them (Holm 1979), in their order."""
    order = np.argsort(p, kind="stable")
    many, worst = len(p), 0.0
    found = [0.0] * many
    for rank, i in enumerate(order.tolist()):
        worst = max(worst, min(1.0, (many - rank) * float(p[i])))
        found[i] = worst
    return found


def standard_error(values: ArrayLike, groups: Sequence[Hashable] | None = None) -> float:
    """Of the mean, answers of one group taken together; NaN where there are not two groups to learn from."""
    x, g, count = _groups(values, groups)
    return float(np.sqrt(_variance(x, g, count))) if count > 1 else float("nan")


def detectable(before: ArrayLike, after: ArrayLike, groups: Sequence[Hashable] | None = None) -> float:
    """The smallest true difference that these questions would find in four of five tries, at 5 % two-sided.

    From how much the differences of groups spread; where nothing has moved, from one group that would.
    """
    from scipy.special import ndtri

    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    d, g, count = _groups(b - a, groups)
    if count < 2:
        return 1.0
    variance = max(_variance(d, g, count), float(np.bincount(g).max() / len(d)) ** 2)
    return min(1.0, float(ndtri(1 - (1 - CONFIDENCE) / 2) + ndtri(0.8)) * float(np.sqrt(variance)))


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


def _sums(g: NDArray[np.int64], x: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(g, x, count), np.float64)


def _resampled_means(sums: Floats, sizes: NDArray[np.int64], seed: int, draws: int) -> Floats:
    """The mean over all questions, for each draw of as many groups with replacement."""
    random = np.random.default_rng(seed)
    count = len(sums)
    means = np.empty(draws)
    # Groups with the same sum and size are one kind: how often each kind is drawn is all that matters.
    kinds, many = np.unique(np.stack([sums, sizes], 1), axis=0, return_counts=True)
    step = max(1, 4_000_000 // len(kinds))
    for start in range(0, draws, step):
        times = random.multinomial(count, many / count, size=min(step, draws - start))
        means[start : start + len(times)] = (times @ kinds[:, 0]) / (times @ kinds[:, 1])
    return means


def _middle(means: Floats) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _quantile(freedom: float) -> float:
    """How many standard errors an interval reaches."""
    from scipy.special import ndtri, stdtrit

    upper = 1 - (1 - CONFIDENCE) / 2
    return float(ndtri(upper)) if freedom > 1e6 else float(stdtrit(freedom, upper))
