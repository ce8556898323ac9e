"""What changed from one evaluation to another, question by question.

    changed = changes(read_records("a.jsonl"), read_records("b.jsonl"))
    for kind in changed: kind.difference, kind.gained, kind.lost

The two evaluations may be of one model (another checkpoint, another engine) or of two models. Questions that only one
side was asked are counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tunesmith.core.errors import EvalError, nearest
from tunesmith.evals.records import Comparison, Key, Record, answers_in, by_key, compared
from tunesmith.evals.statistics.intervals import detectable, holm, paired_test
from tunesmith.evals.statistics.score_test import ScoreTest


@dataclass(frozen=True, slots=True)
class Change(Comparison):
    """Two evaluations of the same questions by the same metric."""

    p: float
    """p value of the difference, corrected like its interval for the number of kinds of questions (Holm)."""
    detectable: float
    """The smallest true difference that so many such questions would detect with a power of 80 %."""
    gained: tuple[tuple[Record, Record], ...]
    """(before, after) of questions whose score rose."""
    lost: tuple[tuple[Record, Record], ...]
    reworded: int
    """Questions with another answer and the same score."""
    alone: int
    """Questions that only one side was asked."""
    test: ScoreTest
    """What the p value and the interval of the difference are read from."""


def changes(before: Iterable[Record], after: Iterable[Record]) -> list[Change]:
    """Every kind of question that both sides were asked, levels from the least new to the most."""
    old, new = by_key(before), by_key(after)
    found = []
    for key in [key for key in new if key in old]:
        a, b = _once(key, old[key]), _once(key, new[key])
        pairs = [(a[id], b[id]) for id in a if id in b]
        if not pairs:
            continue
        figures = compared(key, pairs)
        answers = [x.value for x, _ in pairs], [y.value for _, y in pairs], [x.group for x, _ in pairs]
        found.append(
            Change(
                **{field.name: getattr(figures, field.name) for field in fields(figures)},
                p=1.0,
                detectable=detectable(*answers),
                gained=tuple((x, y) for x, y in pairs if y.value > x.value),
                lost=tuple((x, y) for x, y in pairs if y.value < x.value),
                reworded=sum(x.answer != y.answer and x.value == y.value for x, y in pairs),
                alone=len(a.keys() ^ b.keys()),
                test=paired_test(*answers),
            )
        )
    if not found:
        raise EvalError("The two evaluations have no question in common.")
    corrected = holm([change.test for change in found])
    return [
        replace(change, p=one.p, difference=replace(change.difference, low=one.low, high=one.high))
        for change, one in zip(found, corrected, strict=True)
    ]


def answers_of(place: str) -> list[Record]:
    """The answers of one model: ``runs/my``, or ``runs/asked#qwen`` where several models have answered."""
    path, _, model = (place, "", "") if Path(place).exists() else place.partition("#")
    return of_model(answers_in(Path(path)), model or None, path)


def of_model(records: list[Record], model: str | None, whose: str) -> list[Record]:
    """The records of one model, which must be named if there are several."""
    names = list(dict.fromkeys(r.model for r in records))
    chosen = model or ("tuned" if "tuned" in names else names[0] if len(names) == 1 else "")
    if chosen not in names:
        close = nearest(chosen, names)
        hint = (
            f" Did you mean {whose}#{close}?" if close else f" Say whose are meant: {whose}#{(names or ['model'])[0]}"
        )
        raise EvalError(f"{whose} has answers of {', '.join(names) or 'nobody'}.{hint}")
    return [r for r in records if r.model == chosen]


def _once(key: Key, records: list[Record]) -> dict[str, Record]:
    found = {r.id: r for r in records}
    if len(found) < len(records):
        raise EvalError(f"A question is there twice at {key}: these are answers of several models.")
    return found
