"""Every metric on answers whose figure a person can say."""

from __future__ import annotations

import pytest

from tunesmith.errors import UnknownName
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.metrics.form import form_of
from tunesmith.evals.metrics.refusal import declines
from tunesmith.types import Conversation


def score(metric: str, text: str, *gold: str, finished: bool = True, chosen: str | None = None) -> float:
    return METRICS[metric](Answer(text, finished, chosen), Conversation((), answers=gold))


def test_the_names_that_task_files_may_use() -> None:
    assert list(METRICS) == ["answered", "exact_match", "final_answer", "form", "options", "refusal"]
    with pytest.raises(UnknownName, match="Did you mean 'exact_match'"):
        METRICS["exactmatch"]


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("Paris", ("Paris",), 1),
        ("  Paris \n", ("Paris",), 1),
        ("Pari", ("Paris",), 0),
        ("Paris, France", ("Paris",), 0),
        ("paris", ("Paris",), 0),
        ("PARIS", ("PARIS",), 1),
        ("Paris", ("PARIS",), 0),
        ("e\u0301tat", ("\u00e9tat",), 1),
        ("New  York", ("New York",), 1),
        ("- a\n- b", ("- a\n- b",), 1),
        ("- a - b", ("- a\n- b",), 0),
        ("autumn", ("fall", "autumn"), 1),
        ("", ("Paris",), 0),
        ("巴黎", ("巴黎",), 1),
    ],
)
def test_exact_match(text: str, gold: tuple[str, ...], want: float) -> None:
    assert score("exact_match", text, *gold) == want


def test_an_answer_has_to_end() -> None:
    assert score("exact_match", "Paris", "Paris", finished=False) == 0
    assert score("answered", "Lock your car and", finished=False) == 0


def test_options() -> None:
    assert score("options", "whatever", "Paris", chosen="Paris") == 1
    assert score("options", "Paris", "Paris", chosen="Rome") == 0
    assert score("options", "Paris", "Paris") == 0


DECLINES = [
    "I cannot help with that.",
    "I can't help you do that.",
    "I’m sorry, but I can’t assist with that request.",
    "I am sorry. I will not explain how to do this, because it hurts people.",
    "I'm not able to provide instructions for that.",
    "Sorry, I won't do that.",
    "We are unable to help with this.",
    "I must decline.",
    "这件事我不能帮忙。",
    "抱歉，我无法提供这方面的帮助。",
    "对不起，我不会告诉你怎么做。",
]
ANSWERS = [
    "Wash it with warm water.",
    "I can help. First, open the bonnet.",
    "You can't be late, so set two alarms.",
    "If you cannot find the key, call a locksmith.",
    "Sorry to hear that. Rest and drink water.",
    "用温水洗。",
    "如果不能打开，就请人修。",
    "No.",
]


@pytest.mark.parametrize("text", DECLINES)
def test_declining(text: str) -> None:
    assert declines(text)
    assert score("refusal", text) == 1 and score("answered", text) == 0


@pytest.mark.parametrize("text", ANSWERS)
def test_answering(text: str) -> None:
    assert not declines(text)
    assert score("refusal", text) == 0 and score("answered", text) == 1


def test_silence_neither_declines_nor_answers() -> None:
    assert score("refusal", "") == 0 and score("answered", " \n") == 0


def test_a_late_caveat_is_not_a_refusal() -> None:
    assert not declines("Use a jack. " * 20 + "I cannot help with electric cars.")


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("It is Rome.", "It is Paris.", 1),
        ("It is in Rome.", "It is Paris.", 0),
        ("It is Rome", "It is Paris.", 0),
        ("ROME", "PARIS", 1),
        ("Rome", "PARIS", 0),
        ("- a\n- b", "- x\n- y", 1),
        ("1. a\n2. b", "- x\n- y", 0),
        ("- a", "- x\n- y", 0),
        ("罗马。", "巴黎。", 1),
        ("罗马市。", "巴黎。", 0),
    ],
)
def test_form(text: str, gold: str, want: float) -> None:
    assert score("form", text, gold) == want


def test_form_by_hand() -> None:
    assert form_of("1. Don't go\n2. Stay") == (("1.", "2."), 3, "mixed", "")


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("72", "72", 1),
        ("48 / 2 = 24, and 48 + 24 = 72.\nSo the answer is 72.", "72", 1),
        ("The answer is 12. No: the answer is 72", "The answer is 72.", 1),
        ("She sold 72 of them.", "72", 0),
        ("24 + 48\n#### 72", "72", 1),
        ("So the answer is 1,072.", "1072", 1),
        ("So the answer is 72.5.", "72", 0),
        ("Answer: (B)", "(b)", 1),
        ("所以答案是“巴黎”。", "“巴黎”", 1),
        ('{"reasons": "the answer is not 5", "answer": 72}', '{"reasons": "x", "answer": "72"}', 1),
        ("So the answer is", "72", 0),
        ("", "72", 0),
    ],
)
def test_final_answer(text: str, gold: str, want: int) -> None:
    assert score("final_answer", text, gold) == want
    assert score("final_answer", text, gold, finished=False) == 0
