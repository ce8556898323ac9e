"""Figures of many answers together, by name, from the records of any evaluation.

    figures_of(records, ["pass@1", "pass@10", "bleu"])        [Figure(model, task, name, value, low, high, ...), ...]

    pass@K         the probability that one of K samples of a question is right (Chen et al. 2021)
    f1             of answers that name a class: the mean of the classes' F1
    calibration    of ranked options: expected calibration error of the probability given to the chosen one
    brier          of the same: the mean squared distance from right or wrong
    bleu, chrf     of the whole corpus, by sacrebleu

There is one figure for each task, and one for all tasks together if there are several. The formulas are in
``formulas.py``. The interval of pass@K is that of a mean over questions, by group. The others are not means: their
intervals come from the delete-a-group jackknife, and are tested like rates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.core.errors import EvalError
from tunesmith.core.registry import Registry
from tunesmith.evals.corpus import formulas as figures
from tunesmith.evals.metrics import tidy
from tunesmith.evals.records import LESS_IS_BETTER, TEXT_FORMAT, Record, question_id, sureness
from tunesmith.evals.statistics.intervals import interval
from tunesmith.evals.statistics.score_test import RATE, known_test

_BLOCKS = 50
"""Blocks of groups that are left out, one at a time; with fewer groups each is a block."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of many answers."""

    name: str
    model: str
    task: str
    """"" for all tasks together."""
    level: str
    format: str
    shots: int
    metric: str
    """The metric that says which answers are right."""
    value: float
    low: float
    high: float
    n: int
    """Questions."""
    groups: int
    most: float
    """The figure's greatest value: 1, or 100."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure over many records."""

    fits: Callable[[Record], bool]
    """Which records it is of."""
    of: Callable[[Sequence[Record]], float]
    most: float
    split: Callable[[Record], str] = lambda record: ""
    """Records that cannot be counted together."""


FIGURES: Registry[Kind] = Registry("Figure", "Known: bleu, brier, calibration, chrf, f1, and pass@K, as in pass@10.")


def _free(record: Record) -> bool:
    """A free answer, scored as a whole."""
    odd = record.metric in LESS_IS_BETTER or record.metric == "cloze" or record.metric.startswith("each_")
    return not record.options and not odd and record.format != TEXT_FORMAT


def _free_with_gold(record: Record) -> bool:
    return _free(record) and bool(record.gold)


def _ranked(record: Record) -> bool:
    return bool(record.likely)


def _f1(records: Sequence[Record]) -> float:
    gold = [tidy(r.gold[0]) for r in records]
    # What the metric accepts as right names the class. An answer that names no class is no decision for another one.
    said = [g if r.value == 1 else tidy(r.answer) for r, g in zip(records, gold, strict=True)]
    return figures.classes(said, gold).macro.f1


def _calibrated(records: Sequence[Record]) -> figures.Calibration:
    return figures.calibration([sureness(r) for r in records], [r.value for r in records])


def _bleu(records: Sequence[Record]) -> float:
    return figures.bleu([r.answer for r in records], [r.gold for r in records], records[0].language)


def _chrf(records: Sequence[Record]) -> float:
    return figures.chrf([r.answer for r in records], [r.gold for r in records])


FIGURES.add("f1")(Kind(_free_with_gold, _f1, 1))
FIGURES.add("calibration")(Kind(_ranked, lambda records: _calibrated(records).error, 1))
FIGURES.add("brier")(Kind(_ranked, lambda records: _calibrated(records).brier, 1))
FIGURES.add("bleu")(Kind(_free_with_gold, _bleu, 100, lambda record: record.language))
FIGURES.add("chrf")(Kind(_free_with_gold, _chrf, 100))


def tries_of(name: str) -> int:
    """The K of pass@K, 0 for another figure; a name that is no figure is an error."""
    found = re.fullmatch(r"pass@([1-9]\d{0,4})", name)
    if found:
        return int(found[1])
    FIGURES[name]
    return 0


def figures_of(records: Sequence[Record], names: Sequence[str]) -> list[Figure]:
    """Each figure, for each model, level, format, number of examples shown and task that has answers for it."""
    found: list[Figure] = []
    for name in names:
        k = tries_of(name)
        kind = FIGURES[name] if not k else Kind(_free, lambda some: 0.0, 1)
        by: dict[tuple[str, str, str, int, str], list[Record]] = {}
        for record in filter(kind.fits, records):
            metric = record.metric if k or name in ("f1", "calibration", "brier") else ""
            by.setdefault((record.model, record.level, record.format, record.shots, metric), []).append(record)
        mine: list[Figure] = []
        for (model, level, format, shots, metric), every in by.items():
            tasks = list(dict.fromkeys(r.task for r in every))
            for task in [*([""] if len(tasks) > 1 else []), *tasks]:
                some = [r for r in every if task in ("", r.task)]
                if len({kind.split(r) for r in some}) > 1:
                    continue
                value, low, high, n, groups = _pass_at(some, k) if k else _of_all(kind, some)
                about = (name, model, task, level, format, shots, metric)
                mine.append(Figure(*about, value, low, high, n, groups, kind.most))
        if not mine:
            raise EvalError(f"No answer has what {name} is made of: {_WANTED.get(name, 'free answers')}.")
        found += mine
    return found


_WANTED = dict.fromkeys(("calibration", "brier"), "ranked options (rank: true in the suite)") | dict.fromkeys(
    ("f1", "bleu", "chrf"), "free answers to questions with a right one"
)

Estimate = tuple[float, float, float, int, int]
"""Value, low, high, questions, groups."""


def _pass_at(records: Sequence[Record], k: int) -> Estimate:
    right: dict[tuple[str, str], list[bool]] = {}
    group: dict[tuple[str, str], str] = {}
    for record in records:
        key = record.task, question_id(record)
        right.setdefault(key, []).append(record.value == 1)
        group[key] = record.group
    fewest = min(map(len, right.values()))
    if fewest < k:
        short = sum(len(tries) < k for tries in right.values())
        if short == len(right):
            raise EvalError(f"pass@{k} needs {k} answers to each question; found {fewest}. Set `samples` in the suite.")
        # Some samples failed. A question with too few samples does not count.
        right = {key: tries for key, tries in right.items() if len(tries) >= k}
    values = [figures.pass_at(len(tries), sum(tries), k) for tries in right.values()]
    got = interval(values, [group[key] for key in right])
    return got.value, got.low, got.high, got.n, got.groups


def _of_all(kind: Kind, records: Sequence[Record]) -> Estimate:
    """The figure, and what it becomes without each block of groups."""
    value = kind.of(records)
    groups = list(dict.fromkeys(r.group for r in records))
    n = len({(r.task, question_id(r)) for r in records})
    blocks = min(_BLOCKS, len(groups))
    if blocks < 2:
        return value, 0.0, kind.most, n, len(groups)
    block = {group: i % blocks for i, group in enumerate(groups)}
    left = np.array([kind.of([r for r in records if block[r.group] != i]) for i in range(blocks)])
    part, left = value / kind.most, left / kind.most
    variance = float((blocks - 1) / blocks * ((left - left.mean()) ** 2).sum())
    low, high = known_test(part, part, 0.0, len(groups), RATE, variance, blocks - 1).bounds()
    return value, kind.most * low, kind.most * high, n, len(groups)
