"""Style against ability: does a model answer in the form that was asked for, and does it know the answer?

Tuning on another model's answers is known to teach the form sooner than the knowledge (Gudibande et al. 2023, "The
False Promise of Imitating Proprietary LLMs"). So both are told apart:

    in form     the answer ends by itself and has the form of a right one: lines, marks, case, number of words
    knows       a right answer stands in it as whole words; where options were ranked, a right one is the likeliest

    table(records)      for each model: in form and known, in form only, known only, neither
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.core.types import Conversation
from tunesmith.data.clean.novelty import spread
from tunesmith.evals.metrics import METRICS, Answer, tidy
from tunesmith.evals.records import Record
from tunesmith.evals.statistics.intervals import Difference, Interval, interval, paired

METRICS_OF_WORDS = frozenset({"exact_match", "final_answer", "number", "squad_exact", "superni_exact"})
"""Metrics whose right answers are words that can be looked for."""


@dataclass(frozen=True, slots=True)
class Style:
    """One model on questions with short right answers."""

    model: str
    in_form: Interval
    knows: Interval
    both: float
    form_only: float
    """In form, and wrong: the trap."""
    known_only: float
    neither: float
    form_gained: Difference | None = None
    """Than the first model, on the same questions."""
    knowledge_gained: Difference | None = None


def in_form(record: Record) -> bool:
    """Whether an answer has the form of a right one."""
    row = Conversation((), answers=record.gold)
    return METRICS["form"](Answer(record.answer, record.finished), row) == 1.0


def knows(record: Record) -> bool:
    """Whether a right answer stands in what was said."""
    said = f" {' '.join(spread(tidy(record.thoughts or record.answer)))} ".casefold()
    return any((words := " ".join(spread(tidy(gold))).casefold()) and f" {words} " in said for gold in record.gold)


def table(records: Sequence[Record]) -> list[Style]:
    """Every model, compared with the first; [] where there is nothing to look for."""
    ranked = {(r.model, r.level, r.shots, r.id): r.value for r in records if r.metric == "options"}
    by: dict[str, dict[tuple[str, int, str], tuple[Record, bool, bool]]] = {}
    for r in records:
        if r.metric in METRICS_OF_WORDS and r.gold:
            likely = ranked.get((r.model, r.level, r.shots, r.id))
            known = likely == 1.0 if likely is not None else knows(r)
            by.setdefault(r.model, {})[r.level, r.shots, r.id] = (r, in_form(r), known)
    found: list[Style] = []

    def pair(seen: tuple[Record, bool, bool]) -> tuple[float, float]:
        return float(seen[1]), float(seen[2])

    first = next(iter(by.values()), {})
    for model, mine in by.items():
        groups = [r.group for r, _, _ in mine.values()]
        pairs = [(form, known) for _, form, known in mine.values()]
        share = {kind: sum(pair == kind for pair in pairs) / len(pairs) for kind in set(pairs)}
        shared = [key for key in mine if key in first]
        gained: list[Difference | None] = [None, None]
        if mine is not first and shared:
            of = [mine[key][0].group for key in shared]
            gained = [
                paired([pair(first[key])[i] for key in shared], [pair(mine[key])[i] for key in shared], of)
                for i in (0, 1)
            ]
        found.append(
            Style(
                model,
                interval([form for form, _ in pairs], groups),
                interval([known for _, known in pairs], groups),
                share.get((True, True), 0.0),
                share.get((True, False), 0.0),
                share.get((False, True), 0.0),
                share.get((False, False), 0.0),
                *gained,
            )
        )
    return found


def verdict(style: Style) -> str:
    """What changed since the first model, in words."""
    form, knowledge = style.form_gained, style.knowledge_gained
    if form is None or knowledge is None:
        return ""
    more = {"form": form, "knowledge": knowledge}
    risen = [name for name, d in more.items() if d.low > 0]
    if risen == ["form"]:
        return "better in form, not in what it knows"
    if risen == ["knowledge"]:
        return "knows more, in no better form"
    if len(risen) == 2:
        return "better in form, and knows more"
    fallen = [name for name, d in more.items() if d.high < 0]
    if len(fallen) == 2:
        return "worse in form and knowledge"
    if fallen:
        return "worse in form" if fallen == ["form"] else "worse in knowledge"
    return "no significant change"
