"""Judges that are fair, that favour a place, and that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from tests.fake_server import serving
from tunesmith.ask.respondent import LIKELIEST, Draw, Failed, Said
from tunesmith.chat import ChatFormat
from tunesmith.cli import app
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message
from tunesmith.evals.judges.judge import Match, judge, prompts_of
from tunesmith.evals.records import Record, write_records

Prompts = Sequence[tuple[Message, ...]]
MATCHES = [
    Match(f"q{i}", f"Question {i}?", ("good" if i % 4 else "bad", "good" if i % 4 == 0 else "bad")) for i in range(40)
]


class Judge:
    """Says to each prompt what a function does."""

    ranks = False

    def __init__(self, says: Callable[[Prompts], Sequence[str]]) -> None:
        self._says = says

    def say(
        self, questions: Sequence[Conversation], *, limit: int, draw: Draw = LIKELIEST, progress: object = None
    ) -> list[Said | Failed]:
        return [Said(text, True) for text in self._says([q.messages for q in questions])]

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]:
        return []

    def bits(self, texts: Sequence[str]) -> list[float]:
        return [1.0] * len(texts)

    def length(self, text: str) -> None:
        return None

    def tokens(self, question: Conversation, said: Said) -> None:
        return None


def fair(prompts: Prompts) -> list[str]:
    """Names the answer that is good."""
    return ["[[A]]" if p[1].content.index("good") < p[1].content.index("bad") else "so: [[B]]" for p in prompts]


def test_a_fair_judge() -> None:
    found = judge(Judge(fair), MATCHES)
    assert found.rate.value == 0.75 and found.swayed == 0 and found.unread == 0 and found.asked == 80
    assert found.rate.low < 0.75 < found.rate.high and set(found.preferred) == {(0.0, 1.0), (1.0, 0.0)}
    assert found.rates[1].value == 0.25
    swapped = judge(Judge(fair), [Match(m.id, m.question, m.answers[::-1]) for m in MATCHES])
    assert swapped.rate.value == pytest.approx(1 - found.rate.value)
    assert found.length_controlled is not None and swapped.length_controlled is not None
    assert swapped.length_controlled == pytest.approx(1 - found.length_controlled)


def test_one_that_favours_a_place_says_nothing() -> None:
    found = judge(Judge(lambda prompts: ["[[A]]"] * len(prompts)), MATCHES)
    assert found.rate.value == 0.5 and found.swayed == 1.0
    assert found.length_controlled == pytest.approx(0.5)


def test_what_cannot_be_read_is_counted_and_nobody_is_left_out() -> None:
    def mumbles(prompts: Prompts) -> list[str]:
        return [text if i % 3 else "Well, both have merits." for i, text in enumerate(fair(prompts))]

    found = judge(Judge(mumbles), MATCHES)
    assert found.unread == 27 and found.asked == 80 and found.rate.n == 40
    assert 0.5 < found.rate.value < 0.75
    assert judge(Judge(lambda prompts: [""] * len(prompts)), MATCHES).rate.value == 0.5


def test_a_match_whose_request_failed_is_left_out_and_told() -> None:
    class Sometimes(Judge):
        def say(self, questions: Sequence[Conversation], **how: Any) -> list[Said | Failed]:
            said = super().say(questions, **how)
            return [Failed("503 busy") if i in (5, 8) else one for i, one in enumerate(said)]

    found = judge(Sometimes(fair), MATCHES)
    assert found.failed == ("q2", "q4") and found.asked == 76 and found.rate.n == 38
    assert found.rate.value == pytest.approx(29 / 38)  # q4 was one that theirs wins

    class Never(Judge):
        def say(self, questions: Sequence[Conversation], **how: Any) -> list[Said | Failed]:
            return [Failed("503 busy")] * len(questions)

    with pytest.raises(EvalError, match="The judge failed at every match: 503 busy"):
        judge(Never(fair), MATCHES)


def test_several_answers_stand_in_each_place_once() -> None:
    match = Match("q", "Which?", ("best", "good", "poor"))
    prompts = prompts_of(match)
    orders = [[line for line in p[1].content.splitlines() if line in match.answers] for p in prompts]
    assert [sorted(order) for order in orders] == [sorted(match.answers)] * 3
    assert all({order[place] for order in orders} == set(match.answers) for place in range(3))

    def likes(prompts: Prompts) -> list[str]:
        return [
            "[[" + "ABC"[[x for x in p[1].content.splitlines() if x in match.answers].index("best")] + "]]"
            for p in prompts
        ]

    found = judge(Judge(likes), [match])
    assert found.rate.value == 1 and found.swayed == 0 and found.length_controlled is None
    assert [rate.value for rate in found.rates] == [1, 0, 0]
    last = judge(Judge(likes), [Match("q", "Which?", ("good", "poor", "best"))])
    assert [rate.value for rate in last.rates] == [0, 0, 1]
    assert judge(Judge(lambda prompts: ["[[tie]]"] * 3), [match]).rate.value == pytest.approx(1 / 3)


def test_chinese_questions_are_judged_in_chinese() -> None:
    system, asked = prompts_of(Match("q", "哪条河？", ("长江", "黄河"), language="zh"))[0]
    assert "比较" in system.content and "回答 A：\n长江" in asked.content


def test_what_no_judge_can_do() -> None:
    with pytest.raises(EvalError, match="two answers or more"):
        judge(Judge(fair), [Match("q", "Q", ("only",))])
    with pytest.raises(EvalError, match="as many in each"):
        judge(Judge(fair), [MATCHES[0], Match("q", "Q", ("good", "bad", "bad"))])
    with pytest.raises(EvalError, match="same id"):
        judge(Judge(fair), [MATCHES[0], MATCHES[0]])


def test_models_are_judged_on_the_command_line(tmp_path: Path, tok: PreTrainedTokenizerFast) -> None:
    def says(name: str, good: range) -> list[Record]:
        return [
            Record(
                id=f"q{i}", model=name, level="asked", format="instruction", shots=0, metric="fresh", task="t",
                cluster="", template="t/a", language="en", group="", prompt=f"Question {i}?",
                answer="good" if i in good else "bad", gold=(), value=1.0, finished=True,
            )
            for i in range(12)
        ]  # fmt: skip

    write_records(tmp_path / "answers.jsonl", says("a", range(9)) + says("b", range(9, 12)))

    def verdicts(path: str, body: dict[str, Any]) -> Any:
        if not path.endswith("completions"):
            return None
        text = f"[[{body['messages'][1]['content'].partition(':' + chr(10) + 'good')[0][-1]}]]"
        return 200, {}, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}

    with serving(None, ChatFormat.named("chatml", tok), fault=verdicts) as (url, behind):
        order = ["eval", "judge", f"{tmp_path}#a", f"{tmp_path}#b", "--by", url]
        run = CliRunner().invoke(app, [*order, "--out", str(tmp_path / "judged.json")], catch_exceptions=False)
        assert "a is preferred to b in 75.0 of 100" in run.output and "0 of 24 verdicts" in run.output
        assert len(behind.asked) == 1 + 24
    value = json.loads((tmp_path / "judged.json").read_text())
    assert value["models"] == ["a", "b"] and value["preferred"] == [[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 3

    write_records(tmp_path / "third.jsonl", says("c", range(0)))
    with serving(None, ChatFormat.named("chatml", tok), fault=verdicts) as (url, behind):
        order = ["eval", "judge", f"{tmp_path}#a", f"{tmp_path}#b", str(tmp_path / "third.jsonl"), "--by", url]
        run = CliRunner().invoke(app, [*order, "--out", str(tmp_path / "three.json")], catch_exceptions=False)
    assert "0 of 36 verdicts" in run.output
    value = json.loads((tmp_path / "three.json").read_text())
    assert value["models"] == ["a", "b", "c"] and len(value["rates"]) == 3
    for name, rate in zip("abc", value["rates"], strict=True):
        assert f"{name} is preferred of 3 in {100 * rate['value']:.1f} of 100" in run.output
    # "good" is named wherever it stands, so it has its whole share, and nobody else any.
    assert [rate["value"] for rate in value["rates"]] == [0.75, 0.25, 0.0]
