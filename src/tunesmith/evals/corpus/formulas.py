"""Figures that only many answers together have.

classes(said, gold)                    accuracy, precision, recall, F1: of each class, macro, micro
calibration(sure, right)               how far the model's confidence is from its accuracy
pass_at(n, right, k)                   the probability that one of k samples passes, from n samples
bleu(said, gold), chrf(said, gold)     of sacrebleu, the whole corpus at once
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tunesmith.core.errors import EvalError

BINS = 15


@dataclass(frozen=True, slots=True)
class Class:
    """Scores of one class against the others; 0 / 0 is 0, as in scikit-learn."""

    precision: float
    recall: float
    f1: float
    asked: int
    """Questions of which it is the right answer."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Scores of a classification."""

    accuracy: float
    macro: Class
    """The mean over the classes that are right somewhere."""
    micro: Class
    """Over all decisions. An answer that is no class is wrong, but not a decision for another class."""
    each: dict[str, Class]


def classes(said: Sequence[str | None], gold: Sequence[str]) -> Classes:
    """Figures of answers that name a class, or none."""
    if len(said) != len(gold) or not gold:
        raise EvalError(f"{len(said)} answers for {len(gold)} questions.")
    names = list(dict.fromkeys(gold))
    each = {}
    for name in names:
        right = sum(s == g == name for s, g in zip(said, gold, strict=True))
        each[name] = _class(right, sum(s == name for s in said), sum(g == name for g in gold))
    many = len(names)
    precision, recall, f1 = (sum(getattr(c, k) for c in each.values()) / many for k in ("precision", "recall", "f1"))
    macro = Class(precision, recall, f1, len(gold))
    right = sum(s == g for s, g in zip(said, gold, strict=True))
    return Classes(right / len(gold), macro, _class(right, sum(s in each for s in said), len(gold)), each)


def _class(right: int, said: int, asked: int) -> Class:
    precision, recall = right / said if said else 0.0, right / asked if asked else 0.0
    return Class(precision, recall, 2 * right / (said + asked) if said + asked else 0.0, asked)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well a model's confidence matches its accuracy."""

    error: float
    """Expected calibration error: the mean distance of confidence and accuracy, over bins of equal width."""
    brier: float
    """The mean squared distance of confidence and outcome."""
    bins: tuple[tuple[float, float, int], ...]
    """(mean confidence, accuracy, count) of each bin that is not empty."""


def calibration(sure: ArrayLike, right: ArrayLike, bins: int = BINS) -> Calibration:
    """From the probability that each answer was given and whether it was right."""
    p, hit = np.asarray(sure, np.float64), np.asarray(right, np.float64)
    if p.shape != hit.shape or not len(p) or p.min() < 0 or p.max() > 1:
        raise EvalError("Calibration needs a probability from 0 to 1 for each answer.")
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    some = count > 0
    means, rates = (np.bincount(bin_of, x, bins)[some] / count[some] for x in (p, hit))
    error = float((np.abs(means - rates) * count[some]).sum() / len(p))
    found = tuple((float(a), float(b), int(c)) for a, b, c in zip(means, rates, count[some], strict=True))
    return Calibration(error, float(((p - hit) ** 2).mean()), found)


def pass_at(n: int, right: int, k: int) -> float:
    """Chen et al. 2021: 1 - C(n - c, k) / C(n, k)."""
    if not 0 <= right <= n or not 1 <= k <= n:
        raise EvalError(f"pass@{k} cannot be told from {n} tries of which {right} passed.")
    return 1 - comb(n - right, k) / comb(n, k)


def bleu(said: Sequence[str], gold: Sequence[Sequence[str]], language: str = "en") -> float:
    """BLEU of a corpus, as sacrebleu counts it; Chinese by characters."""
    return float(_sacrebleu().corpus_bleu(*_corpus(said, gold), tokenize="zh" if language == "zh" else "13a").score)


def chrf(said: Sequence[str], gold: Sequence[Sequence[str]]) -> float:
    """chrF2 of a corpus, as sacrebleu counts it."""
    return float(_sacrebleu().corpus_chrf(*_corpus(said, gold)).score)


def _corpus(said: Sequence[str], gold: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    if len(said) != len(gold) or not all(gold):
        raise EvalError("BLEU and chrF need a right answer for each of the answers.")
    many = max(map(len, gold))
    # Streams of references have to be of one length; to name one twice changes nothing.
    return list(said), [[golds[min(i, len(golds) - 1)] for golds in gold] for i in range(many)]


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError:
        raise EvalError("BLEU and chrF are counted by sacrebleu: pip install 'tunesmith[translation]'.") from None
    return sacrebleu
