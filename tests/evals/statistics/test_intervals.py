"""Intervals and p values by hand, by what must always hold, and by simulation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binomtest, ttest_1samp

from benchmarks import coverage as simulation
from tunesmith.core.errors import EvalError
from tunesmith.evals.statistics.intervals import crossed, detectable, holm, interval, paired, paired_test
from tunesmith.evals.statistics.score_test import ANY, DIFFERENCE, RATE, ScoreTest


@pytest.mark.parametrize("many", [3, 5, 20, 50])
def test_all_alike_is_not_certain(many: int) -> None:
    """Clopper and Pearson's interval: a rate that would give so many alike in 2.5 of 100 tries is its end."""
    exact = binomtest(many, many).proportion_ci(0.95, "exact")
    assert interval([1] * many).low == pytest.approx(exact.low) and interval([1] * many).high == 1.0
    assert interval([0] * many).high == pytest.approx(1 - exact.low) and interval([0] * many).low == 0.0
    tie = interval([0.5] * many)
    assert tie.low == pytest.approx(1 - tie.high) and 0 < tie.low < 0.5 < tie.high < 1
    same = paired([1] * many, [1] * many)
    assert (same.low, same.high) == (pytest.approx(exact.low - 1), pytest.approx(1 - exact.low)) and same.p == 1.0
    risen = paired([0] * many, [1] * many)
    assert risen.p == pytest.approx(binomtest(many, many).pvalue), "as surely as so many coins on one side"
    assert (risen.low > 0) == (risen.p < 0.05)


def test_a_large_sample_has_wilsons_interval() -> None:
    got = interval([1] * 3000 + [0] * 1000)
    low, high = binomtest(3000, 4000).proportion_ci(0.95, "wilson")
    assert got.value == 0.75 and got.n == got.groups == 4000
    assert got.low == pytest.approx(low, abs=3e-4) and got.high == pytest.approx(high, abs=3e-4)


def test_values_without_limits_in_equal_groups_have_students_interval() -> None:
    means = np.random.default_rng(0).normal(2, 1, 12)
    names = [g for g in range(12) for _ in range(4)]
    got = interval(np.repeat(means, 4), names, ANY)
    student = ttest_1samp(means, 0).confidence_interval(0.95)
    assert got.low == pytest.approx(student.low, abs=0.1) and got.high == pytest.approx(student.high, abs=0.1)
    assert got.low <= student.low and got.high >= student.high


def test_repeating_a_question_does_not_make_one_surer() -> None:
    once = interval([1, 1, 1, 0] * 10)
    many = interval([v for v in [1, 1, 1, 0] * 10 for _ in range(12)], [i for i in range(40) for _ in range(12)])
    assert many.n == 480 and many.groups == 40
    assert (many.low, many.high) == (pytest.approx(once.low, abs=0.01), pytest.approx(once.high, abs=0.01))


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
    assert 0.05 < got.p < binomtest(5, 6).pvalue and got.low < 0 < 0.5 < got.high < 1.0


def test_paired_counts_groups_not_wordings() -> None:
    before, after = [0] * 100, [1] * 100
    got = paired(before, after, [i // 50 for i in range(100)])
    assert got.p == 0.5 and got.groups == 2, "two groups that rose are no proof, in however many wordings"
    assert got.value == got.high == 1.0 and got.low < 0
    assert paired(before, after, [0] * 100).p == 1.0, "one group says nothing"


def agree(test: ScoreTest, alpha: float) -> bool:
    low, high = test.bounds(alpha)
    return (low <= 0 <= high) == (test.p() >= alpha)


def test_interval_and_p_value_always_agree() -> None:
    """Shuffled sizes, rates, changes, whole and broken values, also corrected for several comparisons."""
    chance = random.Random(5)
    found = []
    for _ in range(300):
        groups = chance.randint(2, 25)
        sizes = [chance.choice((1, 1, 2, 5, 20)) for _ in range(groups)]
        names = [g for g, size in enumerate(sizes) for _ in range(size)]
        skill, gain = chance.random(), chance.choice((0, 0.1, 0.3, 0.9))
        of = [min(1.0, max(0.0, skill + chance.gauss(0, 0.3))) for _ in range(groups)]
        broken = chance.random() < 0.3

        def said(p: float, broken: bool = broken) -> float:
            return round(min(1.0, p * chance.random() * 2), 2) if broken else float(chance.random() < p)

        sides = [said(of[g]) for g in names], [said(min(1.0, of[g] + gain)) for g in names], names
        got, test = paired(*sides), paired_test(*sides)
        assert -1 <= got.low <= got.value <= got.high <= 1
        assert (got.low <= 0 <= got.high) == (got.p >= 0.05)
        assert all(agree(test, alpha) for alpha in (0.5, 0.1, 0.01, 0.001))
        found.append(test)
    assert 30 < sum(test.p() < 0.05 for test in found) < 250
    for start in range(0, 300, 10):
        for verdict in holm(found[start : start + 10]):
            assert (verdict.low <= 0 <= verdict.high) == (verdict.p >= 0.05)


def test_p_falls_with_the_distance() -> None:
    """So an interval has no holes: every mean in it is accepted, and none beyond."""
    r = np.random.default_rng(3)
    for kind, values in ((RATE, (0.0, 1.0)), (DIFFERENCE, (-1.0, 0.0, 1.0))):
        for _ in range(30):
            groups = int(r.integers(2, 12))
            names = np.repeat(np.arange(groups), r.integers(1, 9, groups))
            x = r.choice(values, len(names), p=r.dirichlet(np.ones(len(values))))
            test = simulation.score_test(x, names, groups, kind)
            for end in (kind.lowest, kind.highest):
                p = [test.p(test.value + part * (end - test.value)) for part in np.linspace(0, 1, 60)]
                assert all(later <= earlier + 1e-9 for earlier, later in pairwise(p))


def test_fifty_thousand_questions_are_quick() -> None:
    r = np.random.default_rng(0)
    before, after = r.random(50_000) < 0.6, r.random(50_000) < 0.61
    names = (np.arange(50_000) // 3).tolist()
    begun = time.process_time()
    paired(before, after, names)
    assert time.process_time() - begun < 3


def test_pairing_is_surer_than_not_pairing() -> None:
    r = np.random.default_rng(0)
    easy = r.random(300) < 0.5
    before, after = easy.astype(float), (easy | (r.random(300) < 0.1)).astype(float)
    difference = paired(before, after)
    a, b = interval(before), interval(after)
    assert difference.low > 0 and a.high > b.low


def test_mismatched_rows_are_refused() -> None:
    with pytest.raises(EvalError, match="same questions"):
        paired([1, 0], [1])
    with pytest.raises(EvalError, match="groups for 1"):
        interval([1, 0], ["a"])


def coverage(make: Callable[[np.random.Generator], tuple[float, float]], truth: float, runs: int) -> float:
    r = np.random.default_rng(11)
    held = 0
    for _ in range(runs):
        low, high = make(r)
        held += low <= truth <= high
    return held / runs


@pytest.mark.parametrize(
    ("kind", "sizes", "groups", "rho", "truth"),
    [
        ("rate", "one", 20, 0.0, (0.1,)),
        ("rate", "equal", 5, 0.3, (0.5,)),
        ("rate", "equal", 20, 0.3, (0.1,)),
        ("rate", "large", 50, 0.3, (0.02,)),
        ("rate", "half", 50, 0.3, (0.9,)),
        ("win", "unequal", 10, 0.1, (0.5,)),
        ("paired", "equal", 5, 0.3, (0.1, 0.1)),
        ("paired", "equal", 10, 0.3, (0.1, 0.4)),
        ("paired", "equal", 20, 0.1, (0.3, 0.3)),
        ("paired", "unequal", 20, 0.6, (0.02, 0.08)),
    ],
)
def test_intervals_hold_the_truth(
    kind: str, sizes: str, groups: int, rho: float, truth: tuple[float, ...], runs: int = 500, allowed: float = 0.02
) -> None:
    random = np.random.default_rng(1)
    assert simulation.held(random, kind, sizes, groups, rho, truth, runs).held >= 0.95 - allowed


@pytest.mark.full
@pytest.mark.parametrize("kind", ["rate", "win", "paired"])
def test_intervals_hold_the_truth_everywhere(kind: str) -> None:
    """The whole grid; the lowest of so many cells is up to three standard errors lower by chance."""
    found = list(simulation.cells([kind], list(simulation.GROUPS), 500))
    assert min(cell.held for cell in found) > 0.94 - 3 * (0.95 * 0.05 / 500) ** 0.5
    assert all(
        0.94 < np.mean([cell.held for cell in found if cell.groups == groups]) < limit
        for groups, limit in ((3, 1), (5, 1), (10, 0.998), (20, 0.993), (50, 0.985))
    )


def test_ignoring_the_groups_would_not_hold_it() -> None:
    """The check can fail: the same answers without groups are far too sure."""
    size = simulation.sizes("equal", 60)

    def make(r: np.random.Generator) -> tuple[float, float]:
        counts = simulation.drawn(r, size, (0.7, 0.3), 0.4)
        got = interval(np.repeat([1.0, 0.0], counts.sum(0)))
        return got.low, got.high

    assert coverage(make, 0.7, 200) < 0.85


@pytest.mark.parametrize(("luck", "facts"), [(0.06, 0.3), (0.0, 0.3), (0.2, 0.3)])
def test_the_interval_over_runs_holds_the_truth(luck: float, facts: float) -> None:
    """Runs differ by luck of their own, and all are asked about the same facts."""
    groups, size, runs = 80, 3, 5
    names = [g for _ in range(runs) for g in range(groups) for _ in range(size)]
    run_of = [run for run in range(runs) for _ in range(groups * size)]

    def make(r: np.random.Generator) -> tuple[float, float]:
        by_run = r.normal(0, luck, (runs, 1, 1))
        by_group = r.normal(0, facts, (1, groups, 1))
        x = 0.1 + by_run + by_group + r.normal(0, 0.5, (runs, groups, size))
        got, _ = crossed(x.ravel(), names, run_of, ANY)
        return got.low, got.high

    def blind(r: np.random.Generator) -> tuple[float, float]:
        """The same, without knowing of runs."""
        by_run = r.normal(0, luck, (runs, 1, 1))
        got = interval((0.1 + by_run + r.normal(0, 0.5, (runs, groups, size))).ravel(), names, ANY)
        return got.low, got.high

    assert 0.93 <= coverage(make, 0.1, 2000) <= 0.97
    assert luck == 0 or coverage(blind, 0.1, 300) < 0.85


def test_over_runs_by_hand() -> None:
    # Two runs, two groups, a value each, mean 2: sums of residuals are -2, 2 by run, -2, 2 by group, -2 0 0 2 by cell.
    got, test = crossed([0.0, 2.0, 2.0, 4.0], ["a", "b", "a", "b"], [1, 1, 2, 2], ANY)
    by_run = by_group = 2 * (2**2 + 2**2) / 16
    cells = 4 / 3 * (2**2 + 0 + 0 + 2**2) / 16
    variance = by_run + by_group - cells
    freedom = variance**2 / (by_run**2 + by_group**2)
    assert got.value == 2 and got.high - 2 == pytest.approx(stdtrit(freedom, 0.975) * variance**0.5)
    assert 0 < test.p() < 1
    names, runs = list(range(10)) * 2, [1] * 10 + [2] * 10
    same, test = crossed([0.0] * 20, names, runs)
    exact = binomtest(10, 10).proportion_ci(0.95, "exact")
    assert (same.low, same.high, test.p()) == (pytest.approx(exact.low - 1), pytest.approx(1 - exact.low), 1.0)
    risen, test = crossed([0.5] * 20, names, runs)
    assert risen.low < 0 and test.p() > 0.5, "two runs are no proof"
    right, _ = crossed([1.0] * 20, names, runs, RATE)
    assert (right.low, right.high) == (pytest.approx(exact.low), 1.0)
    one, test = crossed([1.0, 0.0], ["a", "b"], [1, 1])
    assert (one.low, one.high, test.p()) == (-1, 1, 1.0)


@pytest.mark.parametrize(("runs", "rate"), [(3, 0.5), (5, 0.1), (5, 0.98)])
def test_the_interval_of_a_rate_over_runs_holds_the_truth(runs: int, rate: float) -> None:
    names, run_of = np.tile(np.arange(30), runs), np.repeat(np.arange(runs), 30)

    def make(r: np.random.Generator) -> tuple[float, float]:
        a = rate * 8, (1 - rate) * 8
        of_run, of_fact = r.beta(*a, (runs, 1)), r.beta(*a, (1, 30))
        x = r.random((runs, 30)) < np.where(r.random((runs, 30)) < 0.3, of_run, of_fact)
        got, _ = crossed(x.ravel().astype(float), names.tolist(), run_of.tolist(), RATE)
        assert 0 <= got.low <= got.value <= got.high <= 1
        return got.low, got.high

    assert coverage(make, rate, 400) >= 0.93


def test_holm_by_hand() -> None:
    tests = [paired_test([0] * 40, [1] * k + [0] * (40 - k)) for k in (9, 4, 7, 0)]
    p = [test.p() for test in tests]
    assert p[0] < p[2] < p[1] < p[3] == 1
    found = holm(tests)
    assert [one.p for one in found] == pytest.approx([4 * p[0], max(2 * p[1], 3 * p[2]), 3 * p[2], 1.0])
    low, high = tests[0].bounds()
    assert found[0].low < low and found[0].high > high, "one of four has to be surer"
    assert holm([]) == []


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
        difference = paired(*asked(needed))
        found += difference.low > 0
    assert 0.72 < found / tries < 0.88
    assert detectable([1.0], [1.0]) == 1.0
    assert 0 < detectable(np.ones(50), np.ones(50)) < 0.12
