"""Answers of models as they are kept, and the figures that are made from them.

write_records(path, records)                                  one JSON line each
scores(records)                                               rates with intervals
compare(records, "base", "tuned")                             the same questions, before and after
rescored(records, "options_norm")                             ranked options, compared another way
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import EvalError
from tunesmith.core.types import LEVELS, Conversation, Score
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.metrics.options import chosen
from tunesmith.evals.statistics.intervals import Difference, Interval, interval, paired
from tunesmith.evals.statistics.score_test import ANY, RATE

ANSWERS = "answers.jsonl"
"""The file of answers in a folder."""
TEXT_FORMAT = "text"
"""The format of questions that continue plain text; they belong to level ``seen``."""
LEVEL_NAMES = {
    "seen": ("Seen", "questions it was trained on"),
    "wording": ("New wordings", "known tasks and rows, asked in words it never saw"),
    "instance": ("New instances", "known tasks, rows that are held out in every wording and language"),
    "task": ("New tasks", "tasks never trained on, in a cluster that was"),
    "cluster": ("New clusters", "no task of the whole cluster was trained on"),
}
"""How levels are called, and what they mean."""


@dataclass(frozen=True, slots=True)
class Record:
    """One model's answer to one question, by one metric."""

    id: str
    """``<example>@<template>``, the same for every model that is asked."""
    model: str
    level: str
    format: str
    shots: int
    metric: str
    task: str
    cluster: str
    template: str
    language: str
    group: str
    """Questions about one fact, in whatever wording or language, are one group."""
    prompt: str
    """The question as a person reads it: all turns, but not the examples that were shown before it."""
    answer: str
    gold: tuple[str, ...]
    value: float
    finished: bool
    thoughts: str = ""
    """All that was said, where only what it concludes is the answer."""
    options: tuple[str, ...] = ()
    likely: tuple[float, ...] = ()
    """The log-likelihood of each option, its end included; so other ways to compare them need no model."""
    unasked: tuple[float, ...] = ()
    """The same without the question."""
    leak: str | None = None
    """How the question leaked into the model's training rows: ``exact``, ``near`` ...; "" it did not; None: nobody has
    looked."""
    sample: int = 0
    """Which of several answers to its question this is, from 1; 0 where it was asked once."""
    tokens: int = 0
    """Of the given answer, its end included, where the value is how well that is predicted (``answer_bits``)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same questions."""

    level: str
    format: str
    shots: int
    metric: str
    before: Interval
    after: Interval
    difference: Difference


def question_id(record: Record) -> str:
    """The id of the question, which samples of it and metrics of several things in an answer share."""
    id = record.id.rpartition("#")[0] if record.metric.startswith("each_") else record.id
    return id.removesuffix(f"~{record.sample}") if record.sample else id


def write_records(path: Path | str, records: Iterable[Record]) -> None:
    """One line of strict JSON a record; a log-likelihood that is no number (an option that cannot be said) is null."""
    with Path(path).open("w", encoding="utf-8") as file:
        for record in records:
            if not math.isfinite(record.value):
                raise EvalError(f"{record.id}: {record.metric} gave {record.value}, which is no number.")
            value = asdict(record)
            for name in ("likely", "unasked"):
                value[name] = [x if math.isfinite(x) else None for x in value[name]]
            file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def strict(value: Any, indent: int | None = None) -> str:
    """JSON as others read it: a number that is not finite becomes null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_records(path: Path | str) -> list[Record]:
    """The records of a file, or a clear word about the line that is none."""
    found = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                found.append(_record(json.loads(line, parse_constant=_no_number)))
            except (ValueError, TypeError, RecursionError) as error:
                raise EvalError(f"{path}:{number}: not a record of an evaluation: {error}") from None
    return found


_LISTS: dict[str, type] = {"gold": str, "options": str, "likely": float, "unasked": float}
_OTHERS: dict[str, type | tuple[type, ...]] = {
    "shots": int, "sample": int, "tokens": int, "value": (int, float), "finished": bool, "leak": (str, type(None))
}  # fmt: skip
_LARGEST = 1e15
"""No metric gives more; sums of such values are still numbers."""


def _record(value: Any) -> Record:
    """A record of JSON, with every field checked: a page or a figure of a bad one would break far from its cause."""
    if not isinstance(value, dict):
        raise TypeError(f"wanted an object, found {_short(value)}")
    lists: dict[str, tuple[Any, ...]] = {}
    for name, given in value.items():
        if name in _LISTS:
            kind = _LISTS[name]
            given = given if isinstance(given, list) else [given]
            read = [float("-inf") if one is None and kind is float else one for one in given]
            if value[name] is not given or not all(_is(one, kind) for one in read):
                raise TypeError(f"{name} is {_short(value[name])}; wanted a list of {kind.__name__}")
            lists[name] = tuple(read)
        elif not _is(given, _OTHERS.get(name, str)):
            wanted = _OTHERS.get(name, str)
            names = " or ".join(kind.__name__ for kind in (wanted if isinstance(wanted, tuple) else (wanted,)))
            raise TypeError(f"{name} is {_short(given)}; wanted {names}")
    if not abs(value.get("value", 0)) <= _LARGEST:
        raise ValueError(f"value is {_short(value['value'])}; no metric gives so much")
    return Record(**{**value, **lists})


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_number(text: str) -> Any:
    if text == "-Infinity":  # as earlier versions wrote an option that cannot be said
        return float("-inf")
    raise ValueError(f"{text} is no number")


def answers_in(path: Path) -> list[Record]:
    """The answers in a file, a stage's folder, or a run's folder."""
    if path.is_file():
        return read_records(path)
    files = [path / ANSWERS, *sorted(path.glob(f"*/{ANSWERS}"))] if path.is_dir() else []
    files = [file for file in files if file.exists()]
    if len(files) != 1:
        what = f"no {ANSWERS}" if not files else f"{len(files)} files of answers: {', '.join(map(str, files))}"
        raise EvalError(f"{path} holds {what}. Wanted a run that was evaluated, or the file itself.")
    return read_records(files[0])


# -- figures -----------------------------------------------------------------------------------------------------------

Key = tuple[str, str, int, str]
"""Level, format, shots, metric."""


def scores(records: Iterable[Record]) -> list[Score]:
    """A rate with its interval for each model, level, format, number of shots and metric."""
    found = []
    by_model: dict[str, list[Record]] = {}
    for record in records:
        by_model.setdefault(record.model, []).append(record)
    for model, mine in by_model.items():
        for (level, format, shots, metric), rows in by_key(mine).items():
            got = rate(rows)
            found.append(Score(model, level, format, shots, metric, got.value, got.low, got.high, got.n))
    return found


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss on given answers, as training logs it: nats for each token, every token counting the same."""

    model: str
    level: str
    format: str
    shots: int
    per_token: float
    tokens: int
    answers: int


def losses(records: Iterable[Record]) -> list[Loss]:
    """The held-out loss per token of each model and level, from records that tell how well answers are predicted."""
    found: dict[tuple[str, str, str, int], list[Record]] = {}
    for r in records:
        if r.metric == "answer_bits" and r.tokens > 0 and r.gold and r.sample <= 1:
            found.setdefault((r.model, r.level, r.format, r.shots), []).append(r)
    return [
        Loss(*key, sum(map(_nats, many)) / sum(r.tokens for r in many), sum(r.tokens for r in many), len(many))
        for key, many in found.items()
    ]


def _nats(record: Record) -> float:
    """How unlikely the given answer is, from its bits for each byte."""
    return record.value * math.log(2) * max(1, len(record.gold[0].encode()))


LESS_IS_BETTER = frozenset({"bits_per_byte", "answer_bits"})
"""Metrics that are no shares from 0 to 1."""


def rate(records: Sequence[Record]) -> Interval:
    """The mean of some records of one metric, with its interval."""
    shares = all(0 <= r.value <= 1 for r in records) and not (records and records[0].metric in LESS_IS_BETTER)
    kind = RATE if shares else ANY
    return interval([r.value for r in records], [r.group for r in records], kind)


def compare(records: Iterable[Record], before: str, after: str) -> list[Comparison]:
    """Two models wherever both were asked; they must have been asked the same."""
    sides: dict[str, list[Record]] = {before: [], after: []}
    for record in records:
        if record.model in sides:
            sides[record.model].append(record)
    old, new = by_key(sides[before]), by_key(sides[after])
    found = []
    for key in [key for key in new if key in old]:
        a = {r.id: r for r in old[key]}
        b = {r.id: r for r in new[key]}
        if a.keys() != b.keys():
            odd = sorted(a.keys() ^ b.keys())
            raise EvalError(
                f"{before} and {after} were not asked the same questions at {key}: {len(odd)} differ, "
                f"{odd[0]} for one. Evaluate both on the same rows."
            )
        found.append(compared(key, [(a[i], b[i]) for i in a]))
    return found


def compared(key: Key, pairs: Sequence[tuple[Record, Record]]) -> Comparison:
    """Answers to the same questions, before and after."""
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    difference = paired([r.value for r in before], [r.value for r in after], [r.group for r in before])
    return Comparison(*key, rate(before), rate(after), difference)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the wording matters: rates of one wording each, over all wordings."""

    median: float
    lower: float
    """A quarter of the wordings does worse than this."""
    upper: float
    worst: float
    best: float
    wordings: int


def over_wordings(records: Sequence[Record]) -> Spread:
    """Median and quartiles of the rates of single wordings, as T0 reports them."""
    by: dict[str, list[float]] = {}
    for record in records:
        by.setdefault(record.template, []).append(record.value)
    if not by:
        raise EvalError("No answers, so there is no spread over wordings.")
    worst, lower, median, upper, best = np.quantile([float(np.mean(v)) for v in by.values()], [0, 0.25, 0.5, 0.75, 1])
    return Spread(float(median), float(lower), float(upper), float(worst), float(best), len(by))


def by_key(records: Iterable[Record]) -> dict[Key, list[Record]]:
    """Records by what they measure, levels from the least new to the most."""
    found: dict[Key, list[Record]] = {}
    for r in records:
        found.setdefault((r.level, r.format, r.shots, r.metric), []).append(r)
    order: dict[str, int] = {level: i for i, level in enumerate(LEVELS)}
    return dict(sorted(found.items(), key=lambda item: (item[0][1:3], order.get(item[0][0], 9), item[0][3])))


def rescored(records: Iterable[Record], metric: str) -> list[Record]:
    """Records of ranked options, compared another way: ``options_norm``, ``options_byte``, ``options_pmi``."""
    found = []
    for record in records:
        if record.likely:
            row = Conversation((), answers=record.gold, options=record.options)
            answer = Answer("", True, record.likely, record.unasked)
            value = METRICS[metric](answer, row)
            assert isinstance(value, float)
            found.append(replace(record, metric=metric, answer=chosen(answer, row, metric), value=value))
    return found


def sureness(record: Record) -> float:
    """The probability that a model gives to the option it chose, among those it was offered."""
    p = np.exp(np.array(record.likely) - max(record.likely))
    return float(p.max() / p.sum())
