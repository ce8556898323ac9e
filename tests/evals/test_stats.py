"""Intervals by hand, and by simulation: they hold the truth about 95 times of 100, also when answers go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from tunesmith.errors import EvalError
from tunesmith.evals.stats import cluster_bootstrap, crossed, detectable, holm, interval, mcnemar, paired, wilson


def test_wilson_by_hand() -> None:
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.7167; half 1.96/1.38415 * sqrt(0.016 + 3.8415/400) = 0.2267
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 20)[0] == 0.0 and wilson(0, 20)[1] == pytest.approx(0.1611, abs=1e-4)
    assert wilson(20, 20) == (pytest.approx(1 - 0.1611, abs=1e-4), 1.0)
    assert wilson(0, 0) == (0.0, 1.0)


def test_without_groups_the_interval_is_nearly_wilsons() -> None:
    values = [1] * 150 + [0] * 50
    got = interval(values)
    low, high = wilson(150, 200)
    assert got.value == 0.75 and got.n == got.groups == 200
    assert got.low == pytest.approx(low, abs=2e-3) and got.high == pytest.approx(high, abs=2e-3)


def test_repeating_a_question_does_not_make_one_surer() -> None:
    once = interval([1, 1, 1, 0] * 10)
    many = interval([v for v in [1, 1, 1, 0] * 10 for _ in range(12)], [i for i in range(40) for _ in range(12)])
    assert many.n == 480 and many.groups == 40
    assert (many.low, many.high) == (pytest.approx(once.low, abs=2e-3), pytest.approx(once.high, abs=2e-3))


def test_all_right_is_not_certain() -> None:
    got = interval([1] * 300, [i % 30 for i in range(300)])
    assert got.high == 1.0 and 0.85 < got.low < 0.9, "30 groups, not 300 questions"
    assert interval([1, 1, 0], ["one", "one", "one"]).low == 0.0, "one group says nothing about others"
    assert np.isnan(interval([]).value)


def test_paired_by_hand() -> None:
    before = [0, 0, 0, 0, 1, 1, 0, 1]
    after = [1, 1, 1, 1, 1, 0, 1, 1]
    got = paired(before, after)
    assert (got.value, got.better, got.worse, got.n) == (0.5, 5, 1, 8)
    assert got.p == pytest.approx(14 / 64), "2 * (C(6,5) + C(6,6)) / 2**6"
    assert -0.2 < got.low < 0.5 < got.high <= 1.0


def test_paired_counts_groups_not_wordings() -> None:
    before, after = [0] * 100, [1] * 100
    got = paired(before, after, [i // 50 for i in range(100)])
    assert got.p == 0.5 and got.groups == 2, "two groups that rose are no proof, in however many wordings"
    assert got.value == got.high == 1.0 and got.low < 0.7


def test_pairing_is_surer_than_not_pairing() -> None:
    r = np.random.default_rng(0)
    easy = r.random(300) < 0.5
    before, after = easy.astype(float), (easy | (r.random(300) < 0.1)).astype(float)
    difference = paired(before, after)
    a, b = interval(before), interval(after)
    assert difference.low > 0 and a.high > b.low


def test_mcnemar() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(10, 0) == pytest.approx(2 / 1024)
    assert mcnemar(3, 3) == 1.0


def test_mismatched_rows_are_refused() -> None:
    with pytest.raises(EvalError, match="same questions"):
        paired([1, 0], [1])
    with pytest.raises(EvalError, match="groups for 1"):
        interval([1, 0], ["a"])


def clustered(r: np.random.Generator, rate: float, groups: int, size: int, together: float) -> np.ndarray:
    """[groups, size] answers; ``together`` of a group's variance is shared by all of it (beta-binomial)."""
    a = (1 - together) / together
    return (r.random((groups, size)) < r.beta(rate * a, (1 - rate) * a, groups)[:, None]).astype(float)


def coverage(make: Callable[[np.random.Generator], tuple[float, float]], truth: float, runs: int) -> float:
    r = np.random.default_rng(11)
    held = 0
    for _ in range(runs):
        low, high = make(r)
        held += low <= truth <= high
    return held / runs


@pytest.mark.parametrize(
    ("rate", "groups", "size"), [(0.7, 60, 8), (0.9, 80, 5), (0.3, 150, 3), (0.7, 400, 1), (0.9, 300, 1)]
)
def test_the_interval_holds_the_truth(rate: float, groups: int, size: int) -> None:
    names = [i for i in range(groups) for _ in range(size)]

    def make(r: np.random.Generator) -> tuple[float, float]:
        got = interval(clustered(r, rate, groups, size, 0.4).ravel(), names)
        return got.low, got.high

    assert 0.93 <= coverage(make, rate, 2000) <= 0.97


def test_ignoring_the_groups_would_not_hold_it() -> None:
    """The check can fail: plain Wilson on the same answers is far too sure."""

    def make(r: np.random.Generator) -> tuple[float, float]:
        answers = clustered(r, 0.7, 60, 8, 0.4)
        return wilson(answers.sum(), answers.size)

    assert coverage(make, 0.7, 500) < 0.85


def test_the_bootstrap_holds_the_truth() -> None:
    names = [i for i in range(100) for _ in range(4)]

    def make(r: np.random.Generator) -> tuple[float, float]:
        got = cluster_bootstrap(clustered(r, 0.7, 100, 4, 0.4).ravel(), names, draws=800)
        return got.low, got.high

    assert 0.93 <= coverage(make, 0.7, 1000) <= 0.97


def test_the_paired_interval_holds_the_truth() -> None:
    names = [i for i in range(100) for _ in range(4)]

    def make(r: np.random.Generator) -> tuple[float, float]:
        before = clustered(r, 0.4, 100, 4, 0.4)
        after = np.maximum(before, clustered(r, 0.5, 100, 4, 0.4))
        got = paired(before.ravel(), after.ravel(), names, draws=800)
        return got.low, got.high

    assert 0.93 <= coverage(make, 0.3, 1000) <= 0.97


@pytest.mark.parametrize(("luck", "facts"), [(0.06, 0.3), (0.0, 0.3), (0.2, 0.3)])
def test_the_interval_over_runs_holds_the_truth(luck: float, facts: float) -> None:
    """Runs differ by luck of their own, and all are asked about the same facts."""
    groups, size, runs = 80, 3, 5
    names = [g for _ in range(runs) for g in range(groups) for _ in range(size)]
    run_of = [run for run in range(runs) for _ in range(groups * size)]

    def make(r: np.random.Generator) -> tuple[float, float]:
        by_run = r.normal(0, luck, (runs, 1, 1))
        by_group = r.normal(0, facts, (1, groups, 1))
        got, _ = crossed((0.1 + by_run + by_group + r.normal(0, 0.5, (runs, groups, size))).ravel(), names, run_of)
        return got.low, got.high

    def blind(r: np.random.Generator) -> tuple[float, float]:
        """The same, without knowing of runs."""
        by_run = r.normal(0, luck, (runs, 1, 1))
        got = cluster_bootstrap((0.1 + by_run + r.normal(0, 0.5, (runs, groups, size))).ravel(), names, draws=200)
        return got.low, got.high

    assert 0.93 <= coverage(make, 0.1, 2000) <= 0.97
    assert luck == 0 or coverage(blind, 0.1, 300) < 0.85


def test_over_runs_by_hand() -> None:
    # Two runs, two groups, a value each, mean 2: sums of residuals are -2, 2 by run, -2, 2 by group, -2 0 0 2 by cell.
    got, p = crossed([0.0, 2.0, 2.0, 4.0], ["a", "b", "a", "b"], [1, 1, 2, 2])
    by_run = by_group = 2 * (2**2 + 2**2) / 16
    cells = 4 / 3 * (2**2 + 0 + 0 + 2**2) / 16
    variance = by_run + by_group - cells
    freedom = variance**2 / (by_run**2 + by_group**2)
    assert got.value == 2 and got.high - 2 == pytest.approx(stdtrit(freedom, 0.975) * variance**0.5)
    assert 0 < p < 1
    same, p = crossed([0.0] * 20, list(range(10)) * 2, [1] * 10 + [2] * 10)
    assert (same.low, same.high) == (pytest.approx(wilson(10, 10)[0] - 1), pytest.approx(1 - wilson(10, 10)[0]))
    assert p == 1.0 and crossed([0.5] * 20, list(range(10)) * 2, [1] * 10 + [2] * 10)[1] == 0.5
    one, p = crossed([1.0, 0.0], ["a", "b"], [1, 1])
    assert (one.low, one.high, p) == (float("-inf"), float("inf"), 1.0)


def test_wilson_holds_the_truth() -> None:
    right = np.random.default_rng(2).binomial(120, 0.8, 4000)
    held = [low <= 0.8 <= high for low, high in (wilson(k, 120) for k in right)]
    assert 0.93 <= np.mean(held) <= 0.97


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_what_can_be_detected_is_detected_four_times_of_five() -> None:
    random = np.random.default_rng(0)
    count, each, found, tries = 120, 3, 0, 400

    def asked(gain: float) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
        skill = np.repeat(random.random(count), each)  # a group's questions go together
        a = (random.random(count * each) < skill * 0.6).astype(float)
        b = (random.random(count * each) < skill * 0.6 + gain).astype(float)
        return a, b, np.repeat(np.arange(count), each).tolist()

    needed = detectable(*asked(0.1))
    for _ in range(tries):
        difference = paired(*asked(needed), draws=400)
        found += difference.low > 0
    assert 0.72 < found / tries < 0.88
    assert detectable([1.0], [1.0]) == 1.0
    assert 0 < detectable(np.ones(50), np.ones(50)) < 0.1
