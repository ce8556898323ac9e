"""The other tasks of the little world: two steps at once, and examples before the question."""

from __future__ import annotations

import re

import pytest

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.core.types import Conversation
from tunesmith.data.load.examples import read as read_examples
from tunesmith.data.load.lint import lint
from tunesmith.data.load.tasks import load_tasks
from tunesmith.data.tasks.render import render
from tunesmith.data.tasks.task import Task
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.littleworld import held_out, read, task_files
from tunesmith.littleworld.world import chained, with_examples

THOUGHTS = {task.id: task for task in load_tasks(task_files("thoughts"))}
SHOWN = {task.id: task for task in load_tasks(task_files("examples"))}
READ = read_examples([*THOUGHTS.values(), *SHOWN.values()])
KEPT_AWAY = {name.split(".")[0] for name in held_out()["tasks"]}
"""Relations whose tasks are held out."""


def relations_of(task: Task) -> set[str]:
    return set(re.split(r" *[,>]\s*", str(task.settings["relation"])))


def truth(relation: str, language: str) -> dict[str, str]:
    return {fact.fields["x"]: fact.fields["y"] for fact in read(relation, language)}


def test_a_chain_takes_two_facts() -> None:
    first, then = truth("landmark_country", "en"), truth("capital", "en")
    found = list(chained("landmark_country", "capital", "en"))
    assert {fact.fields["x"]: fact.fields["y"] for fact in found} == {
        x: then[country] for x, country in first.items() if country in then
    }
    tower = next(fact for fact in found if fact.fields["x"] == "Eiffel Tower").fields
    assert tower["the"] == "the capital of the home country of the Eiffel Tower"
    assert tower["step"] == "The home country of the Eiffel Tower is France"
    assert tower["next_step"] == "The capital of France is Paris"
    assert not list(chained("opposite", "opposite", "en")), "what leads back asks nothing"
    with pytest.raises(UnknownName, match="Did you mean 'capital'"):
        list(chained("landmark_country", "capitol", "en"))


def test_a_set_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'thoughts'"):
        task_files("thought")


@pytest.mark.parametrize("task", THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_end_with_the_answer(task: Task) -> None:
    twin = task.stem.replace("at_once", "reasoned")
    rows = READ.examples[task.id]
    assert len(rows) >= 4 and len(task.templates) == 8
    assert {row.fields["the"] for row in rows} == {
        row.fields["the"] for row in READ.examples[f"{twin}.{task.language}"]
    }
    for template in task.templates:
        for row in rows:
            question, answer = render(row, template, task).messages
            asked = Conversation((question,), id="q", answers=(row.fields["y"],))
            assert METRICS["final_answer"](Answer(answer.content, True), asked) == 1
            assert METRICS["final_answer"](Answer(row.fields["step"], True), asked) == 0
            assert (answer.content == row.fields["y"]) == task.id.startswith(twin.replace("reasoned", "at_once"))
            assert row.fields["the"].lower() in question.content.lower()


@pytest.mark.parametrize("task", [*THOUGHTS.values(), *SHOWN.values()], ids=[*THOUGHTS, *SHOWN])
def test_what_is_held_out_is_in_no_chain_that_is_trained_on(task: Task) -> None:
    if task.cluster not in held_out()["clusters"]:
        assert not relations_of(task) & KEPT_AWAY
        for relation in relations_of(task):
            assert next(read(relation, task.language)).cluster not in held_out()["clusters"]


@pytest.mark.parametrize("task", SHOWN.values(), ids=SHOWN)
def test_good_examples_are_right_and_bad_ones_wrong(task: Task) -> None:
    rows = {row.id: row for row in READ.examples[task.id]}
    for relation in relations_of(task):
        known, shown = truth(relation, "en"), with_examples(relation, "en")
        assert len(shown.good) == len(shown.bad) == 2
        assert all(known[x] == y and y in why for x, y, why in shown.good)
        assert all(known[x] != y and known[x] in why and y in why for x, y, why in shown.bad)
        examples = {x for x, _, _ in (*shown.good, *shown.bad)}
        assert len(examples) == 4
        asked = [row for id, row in rows.items() if id.startswith(f"{task.id}/{relation}_")]
        assert asked and not examples & {row.fields["x"] for row in asked}
        text = asked[0].fields
        assert all(f"Input: {x}\nOutput: {y}" in text["good"] for x, y, _ in shown.good)
        assert all(f"Input: {x}\nOutput: {y}" in text["bad"] and why not in text["bad"] for x, y, why in shown.bad)
        assert all(f"Output: {y}\nWhy: {why}" in text["explained"] for _, y, why in shown.good)


@pytest.mark.parametrize("tasks", [THOUGHTS, SHOWN], ids=["thoughts", "examples"])
def test_the_linter_has_nothing_to_say(tasks: dict[str, Task]) -> None:
    assert lint(list(tasks.values())) == []


def test_too_few_answers_to_show_examples() -> None:
    with pytest.raises(DataError, match="'state' has 3 different answers, wanted 4"):
        with_examples("state", "en")
