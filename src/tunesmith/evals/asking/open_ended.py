"""Questions whose answers are long, as in chats: no metric can say which of many good answers is right.

    limit = room_for(rows, fmt_length)                 tokens that an answer may have, from the answers that are given
    records = ask_all(who, rows_by_level, ...)         as ``ask``, for rows of any length

A task is open-ended where it names no metric, offers no options and half of its given answers are longer than
``LONG`` tokens. Its questions are asked as all others, and what is said is kept to be read and judged. The figure is
how well the model predicts the given answer, in bits for each byte of it. Each record also holds the answer's tokens,
so that ``records.losses`` gives the held-out loss per token, as training logs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.ask.respondent import Respondent
from tunesmith.core.types import Conversation, Level
from tunesmith.data.load.examples import AS_IS
from tunesmith.evals.asking.ask import Failure, How, Trace, ask
from tunesmith.evals.metrics.answer_bits import NAME
from tunesmith.evals.records import Record, question_id

if TYPE_CHECKING:
    from tunesmith.models.generate import Progress

LONG = 32
"""Tokens of an answer above which nobody repeats it to the letter."""
LEAST, MOST = 32, 1024
"""Tokens that an answer may always have, and those that open-ended ones may have at most."""
USUAL = 0.95
"""This share of the given answers fits."""

OTHERWISE = "rouge_l"
"""The metric where a model does not tell how likely a text is: the words that its answer shares with the given one."""

Length = Callable[[str], int | None]


def open_tasks(rows: Iterable[Conversation], length: Length) -> dict[str, int]:
    """The open-ended tasks, and how long their answers are: the median, in tokens."""
    lengths: dict[str, list[int]] = {}
    for row in rows:
        in_words = not row.template or row.template.endswith(f"/{AS_IS}")
        if in_words and row.metric == "exact_match" and row.answers and not row.options and not row.checks:
            lengths.setdefault(row.task, []).append(_shortest(row, length))
    medians = {task: int(median(many)) for task, many in lengths.items()}
    return {task: middle for task, middle in medians.items() if middle > LONG}


def room_for(rows: Iterable[Conversation], length: Length) -> int:
    """How many tokens an answer may have: enough for every answer that has to be right to the letter, and for nearly
    all others."""
    rows = list(rows)
    opened = open_tasks(rows, length)
    exact: list[int] = []
    others: list[int] = []
    for row in rows:
        if row.answers:
            loose = _is_open(row, opened) or row.metric != "exact_match"
            (others if loose else exact).append(_shortest(row, length))
    usual = math.ceil(float(np.quantile(others, USUAL))) if others else 0
    return max(LEAST, max(exact, default=0) + 1, min(MOST, usual + 1))


def too_short(rows: Iterable[Conversation], length: Length, limit: int) -> str:
    """Why answers of at most ``limit`` tokens are too short for what is asked; empty where they are not."""
    rows = list(rows)
    opened = open_tasks(rows, length)
    exact = [row for row in rows if row.answers and row.metric == "exact_match" and not _is_open(row, opened)]
    long = [row for row in exact if _shortest(row, length) >= limit]
    if not long:
        return ""
    need = max(_shortest(row, length) for row in long) + 1
    return (
        f"{len(long)} of {len(rows)} questions have answers that take more than {limit} tokens, {long[0].id} for one. "
        f"Wanted {need}; where the key is left out it follows from the data"
    )


def ask_all(
    who: Respondent,
    rows: Mapping[Level, Sequence[Conversation]] | Mapping[str, Sequence[Conversation]],
    *,
    name: str,
    format: str = "instruction",
    shots: int = 0,
    how: How,
    traces: list[Trace] | None = None,
    failures: list[Failure] | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Ask everything once, each question in the way of its task."""
    opened = open_tasks((row for many in rows.values() for row in many), who.length)
    about: Any = {"name": name, "format": format, "shots": shots, "traces": traces, "failures": failures}
    about["progress"] = progress
    closed = {level: [row for row in many if not _is_open(row, opened)] for level, many in rows.items()}
    found = ask(who, closed, how=how, **about) if any(closed.values()) else []
    metric = NAME if who.ranks else OTHERWISE
    # The answer is the one option, so that it is seen how likely that is.
    free = {
        level: [replace(row, metric=metric, options=row.answers[:1]) for row in many if _is_open(row, opened)]
        for level, many in rows.items()
    }
    if any(free.values()):
        said = ask(who, free, how=replace(how, rank=True, unasked=False), **about)
        sizes = (
            {row.id: who.option_tokens(replace(row, messages=row.prompt)) for many in free.values() for row in many}
            if metric == NAME
            else {}
        )
        found += [
            replace(one, options=(), likely=(), tokens=sum(sizes.get(question_id(one), ())))
            for one in said
            if one.metric == metric and not math.isnan(one.value)
        ]
    return found


def _is_open(row: Conversation, opened: Mapping[str, int]) -> bool:
    return row.metric == NAME or (row.task in opened and row.metric == "exact_match" and not row.options)


def _shortest(row: Conversation, length: Length) -> int:
    return min((n for answer in row.answers if (n := length(answer)) is not None), default=0)
