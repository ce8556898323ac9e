"""Rendering: every message of every kind and format, by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.types import Conversation, Example
from tunesmith.data import HeldOut, Task, Template, Turn, Unrenderable, build_to, read, render, wordings


def turns(conversation: Conversation) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in conversation.messages]


@pytest.fixture
def france(world: list[Task]) -> Example:
    return read(world).examples["capital.en"][0]


def test_each_kind(world: list[Task], france: Example) -> None:
    task = world[0]
    row = {t.name: render(france, t, task) for t in task.templates}
    assert turns(row["what"]) == [("user", "What is the capital of France?"), ("assistant", "Paris")]
    assert turns(row["sentence"])[-1] == ("assistant", "It is Paris.")
    a, b, c = france.options
    assert turns(row["choose"])[0] == ("user", f"Capital of France?\n- {a}\n- {b}\n- {c}")
    assert turns(row["whose"]) == [("user", "Paris is the capital of which country?"), ("assistant", "France")]
    assert turns(row["turns"]) == [
        ("system", "Be brief."),
        ("user", "I ask about France."),
        ("assistant", "Yes?"),
        ("user", "Its capital?"),
        ("assistant", "Paris"),
    ]
    assert row["what"].id == "capital.en/france@capital.en/what"
    assert (row["what"].task, row["what"].cluster, row["what"].template) == (
        "capital.en",
        "geography",
        "capital.en/what",
    )
    assert row["what"].source == france.source and row["what"].metric == "exact_match"


def test_the_answers_are_the_rendered_target(world: list[Task], france: Example) -> None:
    task = world[0]
    both = dataclasses.replace(france, answers=("Paris", "City of Light"))
    answers = {t.name: render(both, t, task).answers for t in task.templates}
    assert answers == {
        "what": ("Paris", "City of Light"),
        "sentence": ("It is Paris.",),
        "choose": ("Paris", "City of Light"),
        "whose": ("France",),
        "turns": ("Paris", "City of Light"),
    }


def test_options_are_in_the_words_of_the_target(world: list[Task], france: Example) -> None:
    task = world[0]
    options = {t.name: render(france, t, task).options for t in task.templates}
    assert options["what"] == france.options
    assert options["sentence"] == tuple(f"It is {o}." for o in france.options)
    assert options["whose"] == ()


def test_the_bare_formats(world: list[Task], france: Example) -> None:
    task = dataclasses.replace(world[0], input=("x", "y"))
    for format, words in {"none": "France\nParis", "name": "geography/world_capital: France\nParis"}.items():
        (template,) = wordings(task, format)
        row = render(france, template, task)
        assert turns(row) == [("user", words), ("assistant", "Paris")]
        assert row.id == f"capital.en/france@capital.en/format:{format}"
    assert wordings(task) == task.templates


def test_shots_stand_before_the_question_and_the_system_message_once(world: list[Task]) -> None:
    task = world[0]
    france, japan, *_ = read(world).examples["capital.en"]
    row = render(france, task.template("turns"), task, [japan])
    assert turns(row) == [
        ("system", "Be brief."),
        ("user", "I ask about Japan."),
        ("assistant", "Yes?"),
        ("user", "Its capital?"),
        ("assistant", "Tokyo"),
        ("user", "I ask about France."),
        ("assistant", "Yes?"),
        ("user", "Its capital?"),
        ("assistant", "Paris"),
    ]
    assert row.answers == ("Paris",)


def wording(user: str, target: str = "{{ y }}") -> Template:
    return Template("capital.en/new", (Turn("user", user), Turn("assistant", target)))


def test_whitespace_at_the_ends_goes_and_inside_stays(world: list[Task], france: Example) -> None:
    assert turns(render(france, wording("\n  {{ x }}\n\n  what ? \n", " {{ y }}\n"), world[0])) == [
        ("user", "France\n\n  what ?"),
        ("assistant", "Paris"),
    ]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("{% if False %}{{ x }}{% endif %} ", "the template gives an empty user message"),
        ("{{ country }}", "the row lacks a field of the template: 'country' is undefined"),
        ("{{ x | int(base='a') }}{{ 1 // 0 }}", "the template fails: "),
        ("{{ x.__class__.__mro__ }}", "the template does what the sandbox forbids: "),
    ],
)
def test_what_cannot_be_rendered_says_why(world: list[Task], france: Example, user: str, reason: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        render(france, wording(user), world[0])
    assert str(caught.value).startswith(reason)


def test_a_field_is_text_and_never_a_template(world: list[Task], france: Example) -> None:
    sly = dataclasses.replace(france, fields={"x": "{{ 7 * 7 }} <b>&", "y": "Paris"})
    assert turns(render(sly, wording("{{ x }}"), world[0]))[0] == ("user", "{{ 7 * 7 }} <b>&")


def test_a_choice_needs_two_answers(world: list[Task], france: Example) -> None:
    with pytest.raises(Unrenderable, match="fewer than two answers"):
        render(dataclasses.replace(france, options=("Paris",)), world[0].template("choose"), world[0])


def test_a_template_without_bounds_ends_the_build_at_once(world: list[Task], tmp_path: Path) -> None:
    """It is of no use for any row, and to try it on each would take hours."""
    task = dataclasses.replace(world[0], templates=(wording("{{ x * 10**9 }}"),))
    with pytest.raises(
        DataError, match=r"template capital.en/new, row capital.en/\w+: the template asks for a value of"
    ):
        build_to(tmp_path / "out", [task], HeldOut(), seed=1)
