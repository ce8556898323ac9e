"""Long answers are asked, kept and measured by how well they are predicted; short ones stay right or wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.models.test_generate import sharp
from tunesmith.ask.respondent import Local, Said
from tunesmith.chat import ChatFormat
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Level, Message
from tunesmith.evals.asking.ask import How, ask
from tunesmith.evals.asking.open_ended import ask_all, open_tasks, room_for, too_short
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.records import losses
from tunesmith.models.load import load_model


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

    def option_tokens(self, question: Conversation) -> tuple[int, ...]:
        return tuple(words(option) + 1 for option in question.options)

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


def test_the_loss_per_token_by_hand(tok: PreTrainedTokenizerFast) -> None:
    """Two answers of a small model: the cross entropy of their tokens and their ends, each token counting the same."""
    fmt = ChatFormat.named("chatml", tok)
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    model = sharp(load_model({**shape, "vocab_size": len(fmt.tok), "num_attention_heads": 2}, seed=3))
    rows = [row("chats", i, long) for i, long in enumerate((40, 90))]
    nats, tokens = 0.0, 0
    for one in rows:
        whole = fmt.encode(one)
        ids, learn = torch.tensor(whole.ids, dtype=torch.long), torch.tensor(whole.learn)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, :-1]
        lost = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")[learn[1:]]
        nats, tokens = nats + float(lost.sum()), tokens + len(lost)
    records = ask_all(Local(model, fmt), {"instance": rows}, name="tuned", how=How(max_new_tokens=4))
    (found,) = losses(records)
    assert (found.model, found.level, found.tokens, found.answers) == ("tuned", "instance", tokens, 2)
    assert found.per_token == pytest.approx(nats / tokens, rel=1e-5)
    mean_of_answers = sum(r.value for r in records) / 2 * math.log(2)
    assert abs(found.per_token - mean_of_answers) > 0.1, "no mean of bits for each byte"
    assert [r.tokens for r in records] == [int(fmt.encode(one).learn.sum()) for one in rows]


def test_losses_of_several_models_and_levels() -> None:
    rows: dict[Level, list[Conversation]] = {"instance": CHATS[1:3], "seen": [*CHATS[3:4], *LABELS]}
    records = [
        *ask_all(Parrot(), rows, name="base", how=How(max_new_tokens=50)),  # type: ignore[arg-type]
        *ask_all(Parrot(), rows, name="tuned", how=How(max_new_tokens=50)),  # type: ignore[arg-type]
    ]
    found = {(one.model, one.level): one for one in losses(records)}
    assert set(found) == {(model, level) for model in ("base", "tuned") for level in ("instance", "seen")}
    one = found["base", "instance"]  # answers of 40 and 50 words, an end each; two bits for each of their bytes
    assert (one.tokens, one.answers) == (92, 2)
    assert one.per_token == pytest.approx(2 * math.log(2) * (40 * 5 - 1 + 50 * 5 - 1) / 92)
    assert losses(ask_all(Parrot(), {"seen": LABELS}, name="x", how=How(max_new_tokens=50))) == []  # type: ignore[arg-type]
