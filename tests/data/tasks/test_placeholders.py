"""Placeholders of identity sets are filled or cost their row; double braces of code are neither."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.readers.test_every_value import read
from tunesmith.core.types import Comparison, Conversation, SetAside

SAID = "I am {{name}}, made by {{ author }}."
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("alpaca", {"instruction": "Who are you?", "output": SAID}),
    ("messages", {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": SAID}]}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": SAID}]}),
    ("prompt_completion", {"question": "Who are you?", "answer": SAID}),
]


@pytest.mark.parametrize(("reader", "row"), FORMS)
def test_a_placeholder_is_filled_or_costs_the_row(reader: str, row: dict[str, Any]) -> None:
    (aside,) = read(reader, {}, row)
    assert isinstance(aside, SetAside)
    assert aside.reason == "has a placeholder that nothing fills: {{author}}, {{name}}"
    (half,) = read(reader, {"fill": {"name": "Ada"}}, row)  # type: ignore[dict-item]
    assert isinstance(half, SetAside) and half.reason.endswith(": {{author}}")
    (found,) = read(reader, {"fill": {"name": "Ada", "author": "a lab \\1"}}, row)  # type: ignore[dict-item]
    assert isinstance(found, Conversation) and found.messages[-1].content == "I am Ada, made by a lab \\1."


def test_both_sides_of_a_pair_are_filled() -> None:
    row = {"prompt": "Who are you, {{name}}?", "chosen": "{{name}}.", "rejected": "Not {{name}}."}
    (found,) = read("preference", {"fill": {"name": "Ada"}}, row)  # type: ignore[dict-item]
    assert isinstance(found, Comparison)
    assert [m.content for m in (*found.prompt, found.answers[0][0], found.answers[1][0])] == [
        "Who are you, Ada?",
        "Ada.",
        "Not Ada.",
    ]


@pytest.mark.parametrize(
    "said",
    [
        "Use a Jinja template: {{ name }}.",
        "```html\n<p>{{ name }}</p>\n```",
        "<p>{{ user }}</p> shows it in Vue.",
        "The city is {{city}}.",
        "{% for user in users %}{{ user }}{% endfor %}",
        "{name} and { {name} } are none.",
    ],
)
def test_braces_of_code_are_text(said: str) -> None:
    (found,) = read("alpaca", {}, {"instruction": "How?", "output": said})
    assert isinstance(found, Conversation) and found.messages[-1].content == said
