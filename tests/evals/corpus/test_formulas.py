"""Figures of many answers, by hand, by scikit-learn's rules, and by what must always hold."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.core.errors import EvalError
from tunesmith.evals.corpus.formulas import bleu, calibration, chrf, classes, pass_at


def test_classes_by_hand() -> None:
    gold = ["a", "a", "a", "b", "b", "c"]
    said = ["a", "a", "b", "b", None, "a"]
    found = classes(said, gold)
    assert found.accuracy == 0.5
    assert (found.each["a"].precision, found.each["a"].recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (found.each["b"].precision, found.each["b"].recall, found.each["b"].f1) == (0.5, 0.5, 0.5)
    assert (found.each["c"].precision, found.each["c"].recall, found.each["c"].f1) == (0, 0, 0)
    assert found.macro.f1 == pytest.approx((2 / 3 + 0.5) / 3)
    assert (found.micro.precision, found.micro.recall) == (3 / 5, 3 / 6)
    assert found.micro.f1 == pytest.approx(6 / 11)


def test_a_class_that_nobody_asked_for_is_wrong_but_no_class() -> None:
    found = classes(["x", "a"], ["a", "a"])
    assert list(found.each) == ["a"] and found.each["a"].recall == 0.5 and found.micro.precision == 1
    with pytest.raises(EvalError):
        classes(["a"], [])


def test_calibration_by_hand() -> None:
    found = calibration([0.9, 0.9, 0.9, 0.9, 0.2], [1, 1, 1, 0, 0], bins=10)
    assert found.error == pytest.approx((4 * abs(0.9 - 0.75) + 1 * 0.2) / 5)
    assert found.brier == pytest.approx((3 * 0.01 + 0.81 + 0.04) / 5)
    assert calibration([1.0, 0.0], [1, 0]).error == 0
    random = np.random.default_rng(0)
    p = random.random(200_000)
    assert calibration(p, random.random(200_000) < p).error < 0.01
    with pytest.raises(EvalError):
        calibration([1.5], [1])


def test_pass_at() -> None:
    assert pass_at(10, 3, 5) == pytest.approx(0.916667, abs=1e-6)
    assert pass_at(10, 0, 5) == 0 and pass_at(10, 10, 1) == 1 and pass_at(10, 6, 5) == 1
    assert pass_at(4, 1, 1) == pytest.approx(0.25)
    with pytest.raises(EvalError):
        pass_at(3, 1, 4)


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    said = ["the cat sat on the mat", "there is a dog"]
    gold = [["the cat sat on a mat", "a cat sat on the mat"], ["there is the dog"]]
    streams = [["the cat sat on a mat", "there is the dog"], ["a cat sat on the mat", "there is the dog"]]
    assert bleu(said, gold) == pytest.approx(sacrebleu.corpus_bleu(said, streams).score)
    assert chrf(said, gold) == pytest.approx(sacrebleu.corpus_chrf(said, streams).score)
    assert bleu(["今天天气很好啊"], [["今天天气很好"]], "zh") > 50
    with pytest.raises(EvalError):
        bleu(["a"], [[]])
