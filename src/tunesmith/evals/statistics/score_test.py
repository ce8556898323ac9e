"""One test for the mean of clustered values; its inversion is the confidence interval, so both always agree.

    test = score_test(values, group_of, groups, RATE)
    test.p(0.5)                 two-sided p value of the hypothesis that the true mean is 0.5
    test.bounds(0.05)           every mean that is not rejected at 5 %: the 95 % interval

Answers within a group (cluster) are correlated, by an intra-class correlation rho that nobody knows. The method:

1. Score test: the variance is the one under the hypothesis, as in Wilson's interval of a rate and Tango's (1998) of
   a paired difference. So an interval has a width at 0 % and 100 % too, and never leaves the possible range.
2. rho is not estimated but averaged over. Its confidence distribution comes from the Pearson statistic of the group
   means, which is chi-squared with groups - 1 degrees of freedom at the true rho. With normal values in groups of
   equal size, this average is exactly Student's t.
3. Rare answers that stand in few groups say little about rho. Some weight then goes to rho = 1, where a whole group
   counts as one question.
4. The skewness of rates near 0 and 1 is corrected to first order (Cornish and Fisher), where that widens the interval.
5. Where all groups have the same mean, nothing tells how much groups vary. A part ``u`` of all groups may then be
   entirely different; ``(1 - u) ** groups`` is the chance to see none of them (Clopper and Pearson).

Coverage is simulated in ``benchmarks/coverage.py``; docs/design/evaluation.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a mean is of: the possible range of a value."""

    lowest: float
    highest: float


RATE = Kind(0.0, 1.0)
DIFFERENCE = Kind(-1.0, 1.0)
ANY = Kind(float("-inf"), float("inf"))
"""Values without limits, such as bits per byte."""

_RHO = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 25)])
"""The values of rho that the statistic is computed at; each weight belongs to what lies between two of them."""
_BELOW = np.array([0.4, 0.6, 0.8])
"""Groups can vary less than with rho = 0: parts of that variance."""
_ABOVE = np.array([1.2, 1.5, 2.0])
"""And more than with rho = 1, by chance."""
_SKEW = 0.5
"""(z * z - 1) / 6 at z = 1.96: how far the skewness of the mean moves the end of an interval."""
_LARGEST = 1e100
"""Squares of greater values are no numbers."""
_STEPS = 40
"""Halvings of the range in which an end of an interval lies."""


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """Tests any hypothesis about one mean."""

    value: float
    """The mean that was observed."""
    groups: int
    kind: Kind
    up: float = 0.0
    """The mean of the positive part of the values, and of the negative one: for paired differences."""
    down: float = 0.0
    spread: float = 1.0
    """The variance of single values, as a part of the largest that their mean allows."""
    weight: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    """Of each possible dependence within groups; empty where all groups have the same mean."""
    share: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    """The variance of the mean at each, as a part of the variance of a single value."""
    skew: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    """The same for the third moment, divided by ``share``."""
    freedom: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    """The degrees of freedom of Student's t at each."""

    def p(self, truth: float = 0.0) -> float:
        """The two-sided p value of the hypothesis that the true mean is ``truth``."""
        if self.groups < 2 or not self.kind.lowest <= truth <= self.kind.highest:
            return 1.0 if self.groups < 2 else 0.0
        if not len(self.weight):
            return self._p_of_equal_groups(truth)
        away = self.value - truth
        if away == 0:
            return 1.0
        variance, lean = self._moments(truth)
        if variance <= 0:
            return 0.0
        from scipy.special import stdtr  # heavy, and only needed here

        distance = np.maximum(abs(away) - _SKEW * max(0.0, lean * np.sign(away)) * self.skew, 0.0)
        tails = 2 * stdtr(self.freedom, -distance / np.sqrt(variance * self.share))
        return float(min(1.0, self.weight @ tails))

    def bounds(self, alpha: float = 0.05) -> tuple[float, float]:
        """The lowest and the highest mean with a p value of at least ``alpha``."""
        return self._end(alpha, self.kind.lowest), self._end(alpha, self.kind.highest)

    def centred(self) -> ScoreTest:
        """The same values, had they shown no difference."""
        half = (self.up + self.down) / 2
        return replace(self, value=0.0, up=half, down=half)

    def _end(self, alpha: float, limit: float) -> float:
        if self.p(limit) >= alpha:
            return limit
        inside, outside = self.value, limit
        if not np.isfinite(limit):
            outside = self.value + np.sign(limit) * max(1e-12, abs(self.value), float(self.spread))
            while self.p(outside) >= alpha:
                inside, outside = outside, outside + 2 * (outside - self.value)
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if self.p(middle) >= alpha else (inside, middle)
        # The hypothesis of no difference: whatever is rounded, its p value and the interval agree.
        return outside if inside * outside <= 0 and self.p(0.0) >= alpha else inside

    def _p_of_equal_groups(self, truth: float) -> float:
        limit = self.kind.lowest if truth < self.value else self.kind.highest
        if truth == self.value:
            return 1.0
        if not np.isfinite(limit):
            return 0.0
        other = (self.value - truth) / (self.value - limit)
        return float(min(1.0, 2 * (1 - other) ** self.groups))

    def _moments(self, truth: float) -> tuple[float, float]:
        """The variance of a value if ``truth`` is the mean, and its third moment as a part of that."""
        if self.kind is ANY:
            return self.spread, 0.0
        if self.kind is RATE:
            return self.spread * truth * (1 - truth), 1 - 2 * truth
        # Tango's estimate of how many fall, from those that rose and fell, if the difference is ``truth``.
        b = (2 - self.up + self.down) * truth - self.up - self.down
        fall = (np.sqrt(max(0.0, b * b + 8 * self.down * truth * (1 - truth))) - b) / 4
        moved = max(2 * fall + truth, abs(truth))
        variance = moved - truth * truth
        if variance <= 0:
            return 0.0, 0.0
        return self.spread * variance, (truth - 3 * truth * moved + 2 * truth**3) / variance


def score_test(x: Floats, group: NDArray[np.int64], groups: int, kind: Kind) -> ScoreTest:
    """The test for the mean of ``x``, whose ``group`` numbers run from 0 to ``groups - 1``."""
    if not np.isfinite(x).all() or np.abs(x).max() > _LARGEST:
        return ScoreTest(float("nan"), 0, kind)  # nothing is known of a mean that is no number
    value = float(x.mean())
    size = np.bincount(group, minlength=groups).astype(np.float64)
    up, down = float(np.maximum(x, 0).mean()), float(np.maximum(-x, 0).mean())
    means = np.bincount(group, x, groups) / size
    if groups < 2 or np.ptp(x) <= 1e-12 * (1 + abs(value)):
        return ScoreTest(value, groups, kind, up, down)

    largest = _largest(kind)
    moved = np.bincount(group, np.abs(x), groups) / size
    informative = _informative(kind, means, moved)
    part = float(((x - value) ** 2).mean() / largest(np.array([value]), np.array([up + down]))[0])
    if part <= 0:
        return ScoreTest(value, groups, kind, up, down)

    # Pearson's statistic of the group means at each rho, around the mean that is best at that rho.
    dependence = _RHO[:, None] + (1 - _RHO[:, None]) / size
    precision = 1 / dependence
    total = precision.sum(1)
    centre, moving = precision @ means / total, precision @ moved / total
    variance = np.maximum(largest(centre, moving) * part, 1e-300)
    pearson = np.maximum(precision @ means**2 - centre**2 * total, 0.0) / variance
    weight, share, skew = _mixture(pearson, size, groups)

    doubt = (1 - informative / groups) / (informative + 1 - informative / groups)
    weight = np.append(weight * (1 - doubt), doubt)
    spread = part if kind is ANY else (informative * part + 1) / (informative + 1)
    # The mean of few independent questions has longer tails than a normal one.
    return ScoreTest(value, groups, kind, up, down, spread, weight, share, skew, np.maximum(1 / share - 1, 1.0))


def known_test(
    value: float, up: float, down: float, groups: int, kind: Kind, variance: float, freedom: float
) -> ScoreTest:
    """The test for a figure whose variance and degrees of freedom are known otherwise."""
    single = float(_largest(kind)(np.array([value]), np.array([up + down]))[0])
    if variance <= 0 or single <= 0:
        return ScoreTest(value, groups, kind, up, down)
    share = np.array([variance / single])
    return ScoreTest(value, groups, kind, up, down, 1.0, np.ones(1), share, share, np.array([freedom]))


def _largest(kind: Kind) -> Callable[[Floats, Floats], Floats]:
    """The largest variance of values with a mean, and with a mean of their absolute values."""
    if kind is ANY:
        return lambda mean, moved: np.ones_like(mean)
    if kind is RATE:
        return lambda mean, moved: mean * (1 - mean)
    return lambda mean, moved: np.maximum(moved - mean * mean, 0.0)


def _informative(kind: Kind, means: Floats, moved: Floats) -> float:
    """How many groups say something about how groups vary: those with the rarer answer, by their share of it."""
    if kind is ANY:
        return float(len(means))
    sides = (means, 1 - means) if kind is RATE else (moved, 1 - means, 1 + means)
    return min(_taking_part(np.maximum(side, 0.0)) for side in sides)


def _taking_part(share: Floats) -> float:
    """The number of groups that would contribute as equally (the participation ratio)."""
    squares = float((share**2).sum())
    return float(share.sum()) ** 2 / squares if squares > 0 else 0.0


def _mixture(pearson: Floats, size: Floats, groups: int) -> tuple[Floats, Floats, Floats]:
    """Weights of all dependences, and the shares of variance and skewness of the mean that belong to them."""
    from scipy.special import chdtr

    at = np.concatenate([pearson[0] / _BELOW, pearson, pearson[-1] / _ABOVE])
    less = np.minimum.accumulate(chdtr(groups - 1, at))  # the chance that the dependence is beyond each
    weight = np.concatenate([[1 - less[0]], less[:-1] - less[1:], [less[-1]]])
    rho = np.append((_RHO[1:] + _RHO[:-1]) / 2, 1.0)[:, None]
    w = size / size.sum()
    one = rho + (1 - rho) / size
    # Of a beta-binomial share of right answers.
    third = ((1 - rho) ** 2 / size**2 + 3 * rho * (1 - rho) / size + 2 * rho**2) / (1 + rho)
    share = (w**2 * one).sum(1)
    skew = (w**3 * third).sum(1) / share
    plain = float((w**2 / size).sum())
    # A group of one question has no dependence: its part of the variance is known.
    known = float((w**2 / size)[size == 1].sum()) / plain
    below = np.maximum(np.concatenate([_BELOW[:1], (_BELOW[1:] + _BELOW[:-1]) / 2, (_BELOW[-1:] + 1) / 2]), known)
    above = np.concatenate([(1 + _ABOVE[:1]) / 2, (_ABOVE[1:] + _ABOVE[:-1]) / 2, _ABOVE[-1:]])
    above = above if known < 1 else np.ones_like(above)
    return (
        weight,
        np.concatenate([plain * below, share[:-1], share[-1] * above, share[-1:]]),
        np.concatenate([below / size.sum(), skew[:-1], np.repeat(skew[-1], len(above)), skew[-1:]]),
    )
