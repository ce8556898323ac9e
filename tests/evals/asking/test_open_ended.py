"""Long answers are asked, kept and measured by how well they are predicted; short ones stay right or wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tunesmith.ask.respondent import Said
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Level, Message
from tunesmith.evals.asking.ask import How, ask
from tunesmith.evals.asking.open_ended import ask_all, open_tasks, room_for, too_short
from tunesmith.evals.metrics import METRICS, Answer


def words(text: str) -> int:
    return len(text.split())


def row(task: str, i: int, long: int, **more: Any) -> Conversation:
    answer = " ".join(["word"] * long)
    messages = (Message("user", f"Question {i}?"), Message("assistant", answer))
    return Conversation(
        messages, id=f"{task}/{i}", task=task, answers=(answer,), **{"template": f"{task}/as_is", **more}
    )


CHATS = [row("chats", i, long) for i, long in enumerate((5, 40, 50, 60, 70, 80, 90, 100, 110, 2000))]
LABELS = [row("labels", i, 2) for i in range(10)]


class Parrot:
    """Says the number of words that it may say; is the surer of an answer the shorter it is."""

    ranks = True

    def say(
        self, questions: Sequence[Conversation], *, limit: int, draw: Any = None, progress: Any = None
    ) -> list[Said]:
        assert all(q.messages[-1].role == "user" for q in questions), "no answer is given away"
        return [Said(f"at most {limit}", True) for _ in questions]

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]:
        """Two bits a byte; the longest does not fit."""
        assert all(q.messages[-1].role == "user" for q in questions)
        return [tuple(-2 * math.log(2) * len(o) for o in q.options if len(o) < 5000) for q in questions]

    def length(self, text: str) -> int:
        return words(text)

    def tokens(self, question: Conversation, said: Said) -> None:
        return None

    def bits(self, texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)


def test_a_task_is_open_ended_by_most_of_its_answers() -> None:
    assert open_tasks([*CHATS, *LABELS], words) == {"chats": 75}
    assert open_tasks([row("a", i, 60, metric="rouge_l") for i in range(3)], words) == {}, "it has a metric"
    assert open_tasks([row("a", i, 60, options=("x", "y")) for i in range(3)], words) == {}
    assert open_tasks([row("a", i, 60, template="a.en/w") for i in range(3)], words) == {}, "a person wrote the task"


def test_room_for_answers() -> None:
    assert room_for(LABELS, words) == 32, "the least"
    assert room_for([*LABELS, row("labels", 10, 45)], words) == 46, "all that has to be right to the letter"
    assert room_for([row("a", i, 101 if i < 98 else 5000) for i in range(100)], words) == 102, "nearly all others"
    assert room_for([row("a", i, 5000) for i in range(10)], words) == 1024, "the most"
    assert room_for([row("a", i, 300, metric="rouge_l") for i in range(10)], words) == 301
    assert room_for([], words) == 32


def test_both_kinds_are_asked_at_once() -> None:
    rows: dict[Level, list[Conversation]] = {"instance": [*CHATS, *LABELS], "seen": LABELS[:1]}
    found = ask_all(Parrot(), rows, name="tuned", how=How(max_new_tokens=50))  # type: ignore[arg-type]
    chats = [r for r in found if r.task == "chats"]
    assert {r.metric for r in chats} == {"answer_bits"} and {round(r.value, 9) for r in chats} == {2.0}
    assert len(chats) == 9, "one does not fit into the model"
    assert {r.answer for r in chats} == {"at most 50"} and all(r.gold and not r.options for r in chats)
    labels = [r for r in found if r.task == "labels"]
    assert {(r.metric, r.value) for r in labels} == {("exact_match", 0.0)} and len(labels) == 11
    with pytest.raises(EvalError, match="more than max_new_tokens=50"):
        ask(Parrot(), rows, name="tuned", how=How(max_new_tokens=50))  # type: ignore[arg-type]


def test_who_tells_no_likelihoods_is_compared_by_words() -> None:
    who = Parrot()
    who.ranks = False
    found = ask_all(who, {"asked": CHATS}, name="server", how=How(max_new_tokens=50))  # type: ignore[arg-type]
    assert {r.metric for r in found} == {"rouge_l"} and len(found) == len(CHATS)


def test_what_is_too_short_is_known_before() -> None:
    assert too_short([*CHATS, *LABELS], words, 8) == ""
    said = too_short([*LABELS, row("labels", 10, 45)], words, 45)
    assert said.startswith("1 of 11 questions have answers that take more than 45 tokens, labels/10 for one. Wanted 46")


def test_the_metric_by_itself() -> None:
    one = row("a", 0, 2, options=("word word",))
    assert METRICS["answer_bits"](Answer("", likely=(-9 * math.log(2),)), one) == pytest.approx(1.0)
    value = METRICS["answer_bits"](Answer(""), one)
    assert isinstance(value, float) and math.isnan(value)
