"""Win rates at equal lengths: by scikit-learn's estimator, by symmetry, and on judges whose bias is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from tunesmith.core.errors import EvalError
from tunesmith.evals.judges.length_controlled import (
    Judged,
    controlled,
    difficulties,
    gamed_from,
    length_controlled,
)

HARD = {f"q{i}": h for i, h in enumerate(np.random.default_rng(7).normal(0, 1, 400).tolist())}
"""Instructions, and how much likelier each is won than others."""


def judged(
    model: float, shorter: float, seed: int, bias: float = 2.0, spread: float = 400, names: int = 400
) -> list[Judged]:
    """A judge who likes long answers: a model that is good by ``model``, and as much shorter than the baseline."""
    r = np.random.default_rng(seed)
    less = r.normal(shorter, spread, names)
    logit = model + np.array(list(HARD.values()))[:names] - bias * np.tanh(less / less.std(ddof=1))
    y = np.clip(1 / (1 + np.exp(-logit)) + r.normal(0, 0.02, names), 0, 1)
    return [Judged(f"q{i}", float(p), float(d)) for i, (p, d) in enumerate(zip(y, less, strict=True))]


def fair(model: float) -> float:
    return float(np.mean(1 / (1 + np.exp(-(model + np.array(list(HARD.values())))))))


def test_a_shorter_model_gets_back_what_length_took() -> None:
    rows = judged(-1.0, 300, 0)
    assert np.mean([row.preferred for row in rows]) < fair(-1.0) - 0.08
    found = controlled(rows, HARD)
    assert found.rate == pytest.approx(fair(-1.0), abs=0.01)
    assert (found.length, found.difficulty, found.model) == (
        pytest.approx(-2, abs=0.1),
        pytest.approx(1, abs=0.1),
        pytest.approx(-1, abs=0.1),
    )


def test_difficulties_are_found_from_many_models() -> None:
    models = {str(i): judged(i / 4 - 2, 50 * i - 200, i) for i in range(12)}
    found = difficulties(models)
    assert list(found) == list(HARD) and np.mean(list(found.values())) == pytest.approx(0, abs=1e-9)
    assert np.corrcoef(list(found.values()), list(HARD.values()))[0, 1] > 0.99


def test_who_only_answers_shortly_gains_nothing() -> None:
    """All answers are shorter by nearly the same: length and model are told apart by the gamed baseline alone."""
    short, long = judged(0.0, 600, 1), judged(0.0, -600, 2)
    rows = judged(-2.0, 900, 3, spread=60)
    alone = controlled(rows, HARD).rate
    gamed = controlled(rows, HARD, gamed_from([short, long], HARD)).rate
    assert abs(gamed - fair(-2.0)) < abs(alone - fair(-2.0)) and gamed == pytest.approx(fair(-2.0), abs=0.05)


def sklearns(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights by scikit-learn, at the strength that its own folds choose, on rows doubled as 1 and as 0."""
    linear = pytest.importorskip("sklearn.linear_model")
    folds = pytest.importorskip("sklearn.model_selection")
    both, label, chance = np.concatenate([x, x]), np.r_[np.ones(len(y)), np.zeros(len(y))], np.r_[y, 1 - y]
    importance, group = np.r_[w, w], np.tile(np.arange(len(y)), 2)

    def fit(rows: NDArray[np.int64], strength: float) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = linear.LogisticRegression(
                C=strength, penalty="l1", solver="liblinear", fit_intercept=False, random_state=123, tol=1e-8
            )
            return model.fit(both[rows], label[rows], sample_weight=(chance * importance)[rows])

    gains = []
    for strength in np.logspace(-4, 4, 10):
        parts = []
        for learn, test in folds.GroupKFold(5).split(both, label, group):
            p = np.clip(fit(learn, strength).predict_proba(both[test])[:, 1], 1e-15, 1 - 1e-15)  # type: ignore[attr-defined]
            true = np.where(label[test] == 1, chance[test], 1 - chance[test])
            parts.append(np.mean((true * np.log(p) + (1 - true) * np.log(1 - p)) * importance[test]))
        gains.append(np.mean(parts))
    best = float(np.logspace(-4, 4, 10)[int(np.argmax(gains))])
    return np.asarray(fit(np.arange(len(both)), best).coef_[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [-2.5, 0.5])
def test_weights_are_those_of_scikit_learn(model: float) -> None:
    """AlpacaEval fits with LogisticRegressionCV: L1, liblinear, GroupKFold, preferences as weights of both labels."""
    rows, gamed = judged(model, 200, 5, names=250), gamed_from([judged(0.2, 500, 1), judged(-0.3, -500, 2)], HARD)
    found = controlled(rows, HARD, gamed)
    d = np.array([row.shorter for row in rows])
    mine = np.stack([np.tanh(d / d.std(ddof=1)), [HARD[row.instruction] for row in rows], np.ones(len(d))], 1)
    others = np.stack([gamed.lengths, gamed.difficulty, np.zeros(len(gamed.lengths))], 1)
    y = np.r_[gamed.preferred, [row.preferred for row in rows]]
    want = sklearns(np.concatenate([others, mine]), y, np.r_[np.full(len(others), 0.1), np.ones(len(d))])
    assert [found.length, found.difficulty, found.model] == pytest.approx(want.tolist(), abs=0.01)


def test_what_one_wins_the_other_loses() -> None:
    random = np.random.default_rng(0)
    for _ in range(8):
        longer = random.normal(0, 300, 200)
        preferred = random.choice([0, 0.5, 1], 200)
        assert length_controlled(preferred, longer) == pytest.approx(
            1 - length_controlled(1 - preferred, -longer), abs=1e-6
        )
    assert length_controlled(np.full(10, 0.5), np.zeros(10)) == pytest.approx(0.5)
    assert 0.95 < length_controlled(np.ones(100), np.zeros(100)) <= 1


def test_a_judge_that_likes_length_alone_prefers_nobody() -> None:
    random = np.random.default_rng(1)
    longer = random.normal(200, 300, 20_000)  # ours are longer, and win for that
    preferred = random.random(20_000) < 1 / (1 + np.exp(-2 * np.tanh(longer / 360)))
    assert preferred.mean() > 0.6
    assert length_controlled(preferred, longer) == pytest.approx(0.5, abs=0.015)


def test_what_has_no_win_rate() -> None:
    with pytest.raises(EvalError, match="no preferences"):
        controlled([])
    with pytest.raises(EvalError, match="difficulty of an instruction is not known: 'new'"):
        controlled([Judged("new", 1.0, 0.0)], {"old": 1.0})
    with pytest.raises(EvalError, match="preference from 0 to 1"):
        length_controlled([2.0], [0.0])
