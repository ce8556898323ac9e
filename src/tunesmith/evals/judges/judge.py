"""A language model as the judge of two answers, or of several.

    found = judge(who, [Match("q1", "Name a river.", ours, theirs), ...])
    found.rate                 how often ours is preferred, with interval;  found.length_controlled  were both as long
    found.swayed               how often the judge changed its mind with the order of the answers

Each match is judged in both orders (several answers: in as many orders, each answer once in each position), because
judges prefer a position. A verdict that cannot be parsed is counted as no preference; nothing is dropped.

The judge is any respondent: a model on this machine or behind a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.ask.respondent import Failed
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message
from tunesmith.evals.judges.length_controlled import length_controlled
from tunesmith.evals.judges.verdict import verdict
from tunesmith.evals.records import Record
from tunesmith.evals.statistics.intervals import Interval, interval

if TYPE_CHECKING:
    from tunesmith.ask.respondent import Respondent
    from tunesmith.models.generate import Progress

_ASK = {
    "en": (
        "You compare answers to a question. Judge whether they are right, helpful and do what was asked; their length, "
        "their order and their style are no merit. Say shortly why, and end with one line that holds nothing but the "
        "letter of the best answer in double brackets, such as [[A]], or [[tie]] where none is better.",
        "Question:\n{question}\n",
        "Answer {letter}:\n{answer}\n",
    ),
    "zh": (
        "你来比较对同一个问题的几个回答。只看是否正确、有用、照要求去做；长短、先后和文风都不算优点。先简短说明理由，最后单独一行，"
        "用双方括号写出最好的回答的字母，例如 [[A]]；不分高下时写 [[tie]]。",
        "问题：\n{question}\n",
        "回答 {letter}：\n{answer}\n",
    ),
}


@dataclass(frozen=True, slots=True)
class Match:
    """Answers to one question; the first is ours."""

    id: str
    question: str
    answers: tuple[str, ...]
    language: str = "en"
    group: str = ""
    """Questions of one group are not independent evidence."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said of many matches."""

    rates: tuple[Interval, ...]
    """The share of each answer, ours first; a tie is shared by all."""
    length_controlled: float | None
    """Of two answers each: the share of ours were both as long, from 0 to 1."""
    swayed: float
    """Share of the matches in which the verdict changed with the order."""
    unread: int
    """Verdicts that could not be parsed, of ``asked``."""
    asked: int
    failed: tuple[str, ...]
    """Matches without a verdict because a request failed; the same command asks them again."""
    preferred: tuple[tuple[float, ...], ...]
    """The share of each answer in each match."""

    @property
    def rate(self) -> Interval:
        """The share of ours."""
        return self.rates[0]


def matches_of(*sides: Iterable[Record]) -> list[Match]:
    """The free answers of two models or more to the questions that all have answered."""
    free = [{(r.shots, _question(r)): r for r in side if not r.options} for side in sides]
    shared = [key for key in free[0] if all(key in other for other in free[1:])]
    if not shared:
        raise EvalError("The models have not answered a question in common, so there is nothing to judge.")
    found = []
    for key in shared:
        rows = [side[key] for side in free]
        texts = tuple(row.thoughts or row.answer for row in rows)
        first, question = rows[0], rows[0].prompt
        if any(row.prompt != question for row in rows):  # each has led its own talk
            question = "Talks that begin alike."
            texts = tuple(f"{row.prompt}\nassistant: {text}" for row, text in zip(rows, texts, strict=True))
        found.append(Match(f"{key[1]}, {key[0]} shown", question, texts, first.language, first.group))
    return found


def _question(record: Record) -> str:
    """The id of a question; a metric of several things has an answer once for each of them."""
    return record.id.rpartition("#")[0] if record.metric.startswith("each_") else record.id


def prompts_of(match: Match) -> list[tuple[Message, ...]]:
    """The match in as many orders as it has answers, each answer once in each place."""
    system, question, answer = _ASK.get(match.language, _ASK["en"])
    many = len(match.answers)
    found: list[tuple[Message, ...]] = []
    for turn in range(many):
        parts = [question.format(question=match.question)]
        for place in range(many):
            said = match.answers[(place + turn) % many]
            parts.append(answer.format(letter=chr(ord("A") + place), answer=said))
        found.append((Message("system", system), Message("user", "\n".join(parts))))
    return found


def judge(who: Respondent, matches: Sequence[Match], *, limit: int = 1024, progress: Progress | None = None) -> Judged:
    """Judge all matches in all orders; a verdict may take ``limit`` tokens."""
    if len({len(match.answers) for match in matches}) != 1 or not 2 <= len(matches[0].answers) <= 26:
        raise EvalError("A judge needs matches of two answers or more, as many in each.")
    asked = [(match, turn, prompt) for match in matches for turn, prompt in enumerate(prompts_of(match))]
    questions = [Conversation(prompt, id=f"{match.id}/{turn}") for match, turn, prompt in asked]
    said = who.say(questions, limit=limit, progress=progress)
    failed = {match.id: one.reason for (match, _, _), one in zip(asked, said, strict=True) if isinstance(one, Failed)}
    matches = [match for match in matches if match.id not in failed]
    if not matches:
        raise EvalError(f"The judge failed at every match: {next(iter(failed.values()))}.")
    many = len(matches[0].answers)
    shares = {match.id: np.zeros(many) for match in matches}
    named: dict[str, list[int | None]] = {match.id: [] for match in matches}
    if len(shares) < len(matches):
        raise EvalError("Two matches have the same id.")
    for (match, turn, _), found in zip(asked, said, strict=True):
        if match.id in failed or isinstance(found, Failed):
            continue
        place = verdict(found.text, many)
        which = (place + turn) % many if place is not None and place >= 0 else place
        named[match.id].append(which)
        shares[match.id] += 1 / many if which is None or which < 0 else np.arange(many) == which
    preferred = np.stack([shares[match.id] / many for match in matches])
    groups = [match.group or match.id for match in matches]
    longer = [len(match.answers[0]) - len(match.answers[1]) for match in matches]
    return Judged(
        rates=tuple(interval(column, groups) for column in preferred.T.tolist()),
        length_controlled=length_controlled(preferred[:, 0].tolist(), longer) if many == 2 else None,
        swayed=sum(len({w for w in which if w is not None}) > 1 for which in named.values()) / len(matches),
        unread=sum(w is None for which in named.values() for w in which),
        asked=len(matches) * many,
        failed=tuple(failed),
        preferred=tuple(map(tuple, preferred.tolist())),
    )
