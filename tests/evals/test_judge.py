"""Judges that are fair, that favour a place, and that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tunesmith.errors import EvalError
from tunesmith.evals.judge import Match, judge, prompts_of, verdict
from tunesmith.types import Message

Prompts = Sequence[tuple[Message, ...]]
MATCHES = [
    Match(f"q{i}", f"Question {i}?", ("good" if i % 4 else "bad", "good" if i % 4 == 0 else "bad")) for i in range(40)
]


def fair(prompts: Prompts) -> list[str]:
    """Names the answer that is good."""
    return ["[[A]]" if p[1].content.index("good") < p[1].content.index("bad") else "so: [[B]]" for p in prompts]


def test_a_fair_judge() -> None:
    found = judge(fair, MATCHES)
    assert found.rate.value == 0.75 and found.swayed == 0 and found.unread == 0 and found.asked == 80
    assert found.rate.low < 0.75 < found.rate.high and set(found.preferred) == {0.0, 1.0}
    swapped = judge(fair, [Match(m.id, m.question, m.answers[::-1]) for m in MATCHES])
    assert swapped.rate.value == pytest.approx(1 - found.rate.value)
    assert found.length_controlled is not None and swapped.length_controlled is not None
    assert swapped.length_controlled == pytest.approx(1 - found.length_controlled)


def test_one_that_favours_a_place_says_nothing() -> None:
    found = judge(lambda prompts: ["[[A]]"] * len(prompts), MATCHES)
    assert found.rate.value == 0.5 and found.swayed == 1.0
    assert found.length_controlled == pytest.approx(0.5)


def test_what_cannot_be_read_is_counted_and_nobody_is_left_out() -> None:
    def mumbles(prompts: Prompts) -> list[str]:
        return [text if i % 3 else "Well, both have merits." for i, text in enumerate(fair(prompts))]

    found = judge(mumbles, MATCHES)
    assert found.unread == 27 and found.asked == 80 and found.rate.n == 40
    assert 0.5 < found.rate.value < 0.75
    assert judge(lambda prompts: [""] * len(prompts), MATCHES).rate.value == 0.5


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

    found = judge(likes, [match])
    assert found.rate.value == 1 and found.swayed == 0 and found.length_controlled is None
    assert judge(lambda prompts: ["[[tie]]"] * 3, [match]).rate.value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[[A]]", 0), ("First [[A]] seemed best, but [[B]]", 1), ("[[ tie ]]", -1), ("[[平局]]", -1),
        ("理由。\n[[b]]", 1), ("Because.\nB", 1), ("Because.\n**A**.", 0), ("Tie", -1), ("A is better", None),
        ("[[C]]", None), ("", None), ("[[AB]]", None),
    ],
)  # fmt: skip
def test_verdicts(text: str, want: int | None) -> None:
    assert verdict(text, 2) == want


def test_chinese_questions_are_judged_in_chinese() -> None:
    system, asked = prompts_of(Match("q", "哪条河？", ("长江", "黄河"), language="zh"))[0]
    assert "比较" in system.content and "回答 A：\n长江" in asked.content


def test_what_no_judge_can_do() -> None:
    with pytest.raises(EvalError, match="two answers or more"):
        judge(fair, [Match("q", "Q", ("only",))])
    with pytest.raises(EvalError, match="same id"):
        judge(fair, [MATCHES[0], MATCHES[0]])
    with pytest.raises(EvalError, match="answered 0 times"):
        judge(lambda prompts: [], MATCHES)
