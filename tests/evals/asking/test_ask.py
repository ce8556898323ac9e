"""Asking, with a model that says what the test wants, and with a real one for ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tunesmith.ask.respondent import LIKELIEST, Draw, Local, Said
from tunesmith.chat import ChatFormat
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Level, Message
from tunesmith.evals.asking.ask import How, ask, ask_text
from tunesmith.evals.records import (
    read_records,
    rescored,
    sureness,
    write_records,
)
from tunesmith.models import generate as generation
from tunesmith.models.generate import Generated
from tunesmith.models.load import load_model


@pytest.fixture
def fmt(tok: PreTrainedTokenizerFast) -> ChatFormat:
    return ChatFormat.named("chatml", tok)


def question(
    place: str, answer: str, template: str = "what", options: tuple[str, ...] = (), metric: str = "exact_match"
) -> Conversation:
    return Conversation(
        (Message("user", f"What is the capital of {place}?"), Message("assistant", answer)),
        id=f"capital.en/{place.lower()}@capital.en/{template}",
        task="capital.en",
        cluster="geography",
        template=f"capital.en/{template}",
        answers=(answer,),
        options=options,
        metric=metric,
        group=f"capital/{place.lower()}",
    )


def says(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat, answers: Sequence[str], finished: bool = True) -> list[Any]:
    """Let every model say these answers; gives the prompts that it was asked."""
    asked: list[Any] = []

    def generate(model: Any, prompts: Sequence[Any], **_: Any) -> list[Generated]:
        asked.extend(fmt.decode(p, controls=True) for p in prompts)
        return [Generated(tuple(fmt.text_ids(a).tolist()), finished) for a in answers]

    monkeypatch.setattr(generation, "generate", generate)
    return asked


def test_what_is_asked_and_what_is_kept(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat) -> None:
    asked = says(monkeypatch, fmt, ["Paris", "Milan"])
    rows: dict[Level, list[Conversation]] = {"seen": [question("France", "Paris")], "task": [question("Italy", "Rome")]}
    records = ask(Local(None, fmt), rows, name="tuned")  # type: ignore[arg-type]
    assert asked[0] == "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert [(r.level, r.answer, r.gold, r.value, r.group) for r in records] == [
        ("seen", "Paris", ("Paris",), 1.0, "capital/france"),
        ("task", "Milan", ("Rome",), 0.0, "capital/italy"),
    ]
    assert records[0].prompt == "What is the capital of France?" and records[0].model == "tuned"


def test_the_metric_of_the_task_is_used(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat) -> None:
    says(monkeypatch, fmt, ["I cannot help with that."])
    row = question("France", "This is not something I do.", metric="refusal")
    (record,) = ask(Local(None, fmt), {"seen": [row]}, name="tuned")  # type: ignore[arg-type]
    assert record.metric == "refusal" and record.value == 1.0


def test_what_cannot_be_evaluated_is_told_at_once(fmt: ChatFormat) -> None:
    row = question("France", "Paris")
    long = question("Italy", "a very long answer indeed " * 5)
    none = replace(question("Spain", "Madrid"), answers=())
    with pytest.raises(EvalError) as error:
        ask(Local(None, fmt), {"seen": [row, row, long, none]}, name="x", how=How(max_new_tokens=9))  # type: ignore[arg-type]
    text = str(error.value)
    assert "capital.en/france@capital.en/what: asked twice" in text
    assert "italy" in text and "more than max_new_tokens=9" in text
    assert "spain" in text and "no right answer" in text


def test_the_likeliest_option_is_chosen(fmt: ChatFormat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ranked: list[Any] = []
    rank = generation.rank_options
    monkeypatch.setattr(
        generation,
        "rank_options",
        lambda model, prompts, options, **how: ranked.extend(options) or rank(model, prompts, options, **how),
    )
    model = load_model(
        {
            "model_type": "llama",
            "vocab_size": len(fmt.tok),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
    )
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=1.0, generator=torch.Generator().manual_seed(0))
    options = ("Paris", "Rome", "the quick brown fox")
    rows = [question(p, "Rome", options=options) for p in ("France", "Italy", "Spain", "China", "the fox")]
    records = [r for r in ask(Local(model, fmt), {"cluster": rows}, name="m") if r.metric == "options"]
    assert len(records) == len(rows)
    assert all(option[-1] in fmt.stop_ids for many in ranked for option in many), "an option has an end"
    for row, record in zip(rows, records, strict=True):
        likely = []
        for option in options:
            ids, learn = fmt.encode([*row.prompt, Message("assistant", option)])
            assert ids[learn][-1] in fmt.stop_ids
            with torch.no_grad():
                logp = torch.log_softmax(model(input_ids=torch.tensor(ids[None]).long()).logits[0], -1)
            at = np.flatnonzero(learn)
            likely.append(float(logp[at - 1, ids[at]].sum()))
        assert record.answer == options[int(np.argmax(likely))]
        assert record.value == float(record.answer == "Rome")
        assert record.likely == pytest.approx(likely, abs=1e-4) and record.options == options
        assert sureness(record) == pytest.approx(float(np.exp(max(likely)) / np.exp(likely).sum()), abs=1e-4)
    again = [
        r for r in ask(Local(model, fmt), {"cluster": rows}, name="m", how=How(unasked=True)) if r.metric == "options"
    ]
    empty = fmt.prompt((Message("user", ""),))
    for option, known in zip(options, again[0].unasked, strict=True):
        ids, learn = fmt.encode([Message("user", ""), Message("assistant", option)])
        assert rank(model, [empty], [[ids[learn]]])[0][0] == pytest.approx(known, abs=1e-4)
    by_byte = rescored(again, "options_byte")
    assert [r.answer for r in by_byte] == [
        max(zip(r.options, r.likely, strict=True), key=lambda x: x[1] / len(x[0].encode()))[0] for r in again
    ]
    assert [r.metric for r in rescored(again, "options_pmi")] == ["options_pmi"] * len(rows)
    write_records(tmp_path / "answers.jsonl", again)
    assert read_records(tmp_path / "answers.jsonl") == again
    without = ask(Local(model, fmt), {"cluster": rows}, name="m", how=How(rank=False))
    assert {r.metric for r in without} == {"exact_match"}
    foreign = question("France", "Berlin", options=options)
    assert {r.metric for r in ask(Local(model, fmt), {"task": [foreign]}, name="m")} == {"exact_match"}


class Echo:
    """Answers with how many messages it was shown, and remembers them."""

    ranks = False

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, ...]]] = []

    def say(
        self, questions: Sequence[Conversation], *, limit: int, draw: Draw = LIKELIEST, progress: object = None
    ) -> list[Said]:
        self.asked.append([tuple(m.content for m in q.messages) for q in questions])
        return [Said(f"I thought. The answer is {len(q.messages)}.", True) for q in questions]

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]:
        return []

    def bits(self, texts: Sequence[str]) -> list[float]:
        return [1.0] * len(texts)

    def length(self, text: str) -> int:
        return 1

    def tokens(self, question: Conversation, said: Said) -> None:
        return None


def talk(id: str, *roles_and_texts: tuple[str, str]) -> Conversation:
    messages = tuple(Message(role, text) for role, text in roles_and_texts)
    return Conversation((*messages, Message("assistant", "5")), id=id, answers=("5",), task="t")


TALKS = [
    talk("given", ("system", "s"), ("user", "a"), ("assistant", "old"), ("user", "b")),
    talk("bare", ("user", "c"), ("user", "d"), ("user", "e")),
    talk("short", ("user", "f")),
]


def test_of_several_turns_the_model_answers_each_itself() -> None:
    who = Echo()
    records = ask(who, {"asked": TALKS}, name="m", how=How(own=True))
    one, three = "I thought. The answer is 2.", "I thought. The answer is 1."
    assert who.asked == [
        [("s", "a"), ("c",), ("f",)],
        [("s", "a", one, "b"), ("c", three, "d")],
        [("c", three, "d", "I thought. The answer is 3.", "e")],
    ]
    assert [r.answer for r in records] == [f"I thought. The answer is {n}." for n in (4, 5, 1)]
    assert records[0].prompt == f"system: s\nuser: a\nassistant: {one}\nuser: b"


def test_given_answers_stand_where_the_data_has_some() -> None:
    who = Echo()
    ask(who, {"asked": TALKS}, name="m")
    assert who.asked[0] == [("s", "a", "old", "b"), ("c",), ("f",)]
    assert [len(asked) for asked in who.asked] == [3, 1, 1]


def test_an_answer_that_calls_a_tool_is_that_of_the_data() -> None:
    call = Message("assistant", "", tool_calls=({"function": {"name": "f", "arguments": "{}"}},))
    row = Conversation(
        (Message("user", "a"), call, Message("tool", "7"), Message("assistant", "old"), Message("user", "b")),
        id="tools", answers=("5",),
    )  # fmt: skip
    who = Echo()
    ask(who, {"asked": [row]}, name="m", how=How(own=True))
    assert (
        who.asked[0] == [("a", "", "7")] and who.asked[1][0][-1] == "b" and who.asked[1][0][3].startswith("I thought")
    )


def test_what_is_concluded_is_scored_and_all_is_kept() -> None:
    records = ask(Echo(), {"asked": TALKS}, name="m", how=How(own=True, thoughts=True))
    assert [(r.answer, r.value, r.thoughts) for r in records] == [
        (n, float(n == "5"), f"I thought. The answer is {n}.") for n in ("4", "5", "1")
    ]


def test_questions_that_do_not_fit_count_as_not_answered(fmt: ChatFormat) -> None:
    shape: dict[str, Any] = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    more = {"num_attention_heads": 2, "max_position_embeddings": 64, "vocab_size": len(fmt.tok)}
    who = Local(load_model({**shape, **more}), fmt)
    long = question("Far and away " * 40, "Rome", options=("Rome", "Paris"))
    rows = [question("Italy", "Rome", options=("Rome", "Paris")), long]
    records = ask(who, {"asked": rows}, name="m")
    assert [(r.id, r.metric, r.value, r.answer) for r in records if r.id == long.id] == [
        (long.id, "exact_match", 0.0, ""),
        (long.id, "options", 0.0, ""),
    ]
    assert who.too_long == {long.id} and len(records) == 4
    assert all(r.likely for r in records if r.id == rows[0].id and r.metric == "options")


@dataclass(frozen=True)
class Statement:
    prompt: str
    before: str
    answer: str
    rest: str
    relation: str = "capital"
    fact: str = "capital/france"
    group: str = "capital/france"
    language: str = "en"


@pytest.mark.parametrize(
    ("said", "value"), [("Paris.", 1), ("Paris. The", 1), ("Parisian.", 0), ("Par", 0), (" Paris.", 0), ("", 0)]
)
def test_going_on_with_a_statement(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat, said: str, value: float) -> None:
    asked = says(monkeypatch, fmt, [said])
    (record,) = ask_text(None, fmt, [Statement("The capital of France is", " ", "Paris", ".")], name="base")  # type: ignore[arg-type]
    assert asked == ["The capital of France is "], "the space belongs to the token before it"
    assert (record.metric, record.level, record.format, record.value) == ("cloze", "seen", "text", value)


def test_a_token_across_the_cut_is_left_to_the_model(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat) -> None:
    """ "France " is one token of this tokenizer, so a cut inside it was never seen in training."""
    assert "France " in fmt.pieces(fmt.text_ids("The capital of France is Paris."))
    asked = says(monkeypatch, fmt, ["France is Paris."])
    (record,) = ask_text(None, fmt, [Statement("The capital of Fr", "", "ance", " is Paris.")], name="base")  # type: ignore[arg-type]
    assert asked == ["The capital of "]
    assert record.value == 1.0 and record.answer == "ance is Paris."


def test_any_answer_that_the_text_gives_is_right(monkeypatch: pytest.MonkeyPatch, fmt: ChatFormat) -> None:
    says(monkeypatch, fmt, ["cat.", "dog.", "fox."])
    kinds = [Statement("One animal is a", " ", y, ".", fact=f"animal/{y}") for y in ("dog", "cat", "cow")]
    records = ask_text(None, fmt, kinds, name="base")  # type: ignore[arg-type]
    assert [r.value for r in records] == [1.0, 1.0, 0.0]
