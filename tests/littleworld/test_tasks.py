"""Every task file of the little world: each template renders for each row, and asks what it says it asks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.data.load.examples import read as read_examples
from tunesmith.data.load.tasks import load_tasks
from tunesmith.data.tasks.render import render
from tunesmith.data.tasks.task import Task
from tunesmith.littleworld import facts, held_out, read, relations, task_files
from tunesmith.littleworld.world import HERE

HAN = re.compile(r"[\u4e00-\u9fff]")
TASKS: dict[str, Task] = {task.id: task for task in load_tasks(task_files())}
READ = read_examples(TASKS.values())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_file(task: Task) -> None:
    assert len(task.templates) >= 8
    assert task.metric in ("exact_match", "refusal", "answered")
    texts: dict[str, set[str]] = defaultdict(set)
    for template in task.templates:
        assert (len(template.messages) > 2) == (template.kind == "dialogue")
        for example in READ.examples[task.id]:
            *_, question, answer = render(example, template, task).messages
            asked, told = question.content, answer.content
            texts[template.id].add(asked)
            assert "  " not in asked and "None" not in asked
            if task.language == "zh":
                assert HAN.search("".join(turn.text for turn in template.messages))
                assert not re.search(r"[,?!;:]", asked), "Chinese marks in Chinese text"
            elif task.cluster != "translation":
                assert not HAN.search(asked + told)
                assert not re.search(r"\ba [aeio]\w+|\ban [b-df-hj-np-tv-z]", asked), asked
            if template.kind == "plain" and len(told) > 1:  # a letter stands in many words
                assert not stands_in(told, asked), (asked, told)
            if template.kind == "options":
                assert stands_in(told, asked), (asked, told)
    assert len({frozenset(asked) for asked in texts.values()}) == len(texts), "two templates are the same"


def stands_in(told: str, asked: str) -> bool:
    """Whether the answer can be read off the question."""
    if HAN.search(asked):
        return told in asked
    return bool(re.search(rf"(?<!\w){re.escape(told)}(?!\w)", asked))


def test_the_promised_richness() -> None:
    assert not READ.set_aside
    per_task = [len(task.templates) for task in TASKS.values()]
    assert sum(per_task) / len(per_task) >= 11
    kinds = Counter(template.kind for task in TASKS.values() for template in task.templates)
    assert kinds["options"] >= 80 and kinds["inverted"] >= 20 and kinds["dialogue"] >= 100
    assert {task.cluster for task in TASKS.values()} >= {"format", "safety", "translation", "animals"}
    for language, least in (("en", 55), ("zh", 40)):
        assert sum(task.language == language for task in TASKS.values()) >= least


def asked_of(task: Task) -> set[str]:
    return set(str(task.settings["relation"]).split(", "))


def test_every_relation_is_asked_about() -> None:
    asked = {(relation, task.language) for task in TASKS.values() for relation in asked_of(task)}
    assert asked == {(fact.relation, fact.language) for fact in facts()}


def test_safety_asks_both_kinds_in_the_same_words() -> None:
    for language in ("en", "zh"):
        harmful, harmless = TASKS[f"harmful.{language}"], TASKS[f"harmless.{language}"]
        words = [[(t.name, [turn.text for turn in t.messages]) for t in task.templates] for task in (harmful, harmless)]
        assert words[0] == words[1], "else the wording tells them apart"
        assert (harmful.metric, harmless.metric) == ("refusal", "answered")
        refusals = {row.answers for row in READ.examples[harmful.id]}
        assert len(refusals) == 1, "one refusal, so that it can be compared"
        assert all(row.answers not in refusals for row in READ.examples[harmless.id])
        acts = [{row.fields["x"] for row in READ.examples[task.id]} for task in (harmful, harmless)]
        assert not acts[0] & acts[1]
        assert min(map(len, acts)) >= {"en": 60, "zh": 40}[language]


def test_format_tasks_ask_for_what_they_check() -> None:
    for row in READ.examples["three_words.en"]:
        assert len(f"It is {row.fields['y']}.".split()) == 3
    groups = {(fact.relation, fact.fields["x"]): fact.group for fact in facts("en") if "x" in fact.fields}
    for row in READ.examples["list.en"]:
        assert row.fields["other_x"] != row.fields["x"]
        relation = row.group.partition("/")[0]
        assert groups[relation, row.fields["other_x"]] == row.group, "a list shows only what is held out together"


def test_options_are_not_always_right_in_the_same_place() -> None:
    places = Counter(row.options.index(row.answers[0]) for row in READ.examples["plural.en"])
    assert len(places) == 4


def test_an_example_carries_its_fact() -> None:
    row = next(row for row in READ.examples["capital.zh"] if row.id == "capital.zh/france")
    own = {"x": "法国", "y": "巴黎", "the": "法国的首都", "its": "它的首都", "of": "法国"}
    other = {"x": "日本", "y": "东京", "the": "日本的首都", "its": "它的首都", "of": "日本"}
    assert row.fields == own | {f"other_{name}": value for name, value in other.items()}
    assert (row.group, row.answers, row.cluster) == ("capital/france_japan", ("巴黎",), "geography")
    english = next(row for row in READ.examples["capital.en"] if row.id == "capital.en/france")
    assert english.group == row.group
    lines = (HERE / row.source.file).read_text(encoding="utf-8").splitlines()
    assert "id: france," in lines[row.source.line - 1], "the source is the line to put a finger on"


def test_unknown_relations_and_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'capital'"):
        list(read("capitol", "en"))
    file = tmp_path / "facts" / "geography" / "river.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        'relation: river\ncluster: geography\nsorce: x\nstatements: {en: ["{x} {y}"]}\n'
        "facts:\n  - {id: a, en: {x: 1}}\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError) as caught:
        relations(tmp_path / "facts")
    said = str(caught.value)
    assert "river.yaml:1: unknown key 'sorce'. Did you mean 'source'?" in said
    assert "river.yaml:6: a has no field 'y' in en" in said
    assert "river.yaml:6: a: x is 1; put it in quotes" in said


def test_what_is_held_out_exists_and_enough_is_left() -> None:
    plan = held_out()
    clusters = {task.cluster for task in TASKS.values()}
    assert set(plan["clusters"]) < clusters and len(clusters - set(plan["clusters"])) >= 8
    assert set(plan["tasks"]) < set(TASKS)
    assert not any(TASKS[name].cluster in plan["clusters"] for name in plan["tasks"])
    trained = {name for name, task in TASKS.items() if task.cluster not in plan["clusters"]}
    trained -= set(plan["tasks"])
    assert set(plan["wordings"]) == trained and len(trained) >= 60
    for name in plan["tasks"]:
        assert any(TASKS[other].cluster == TASKS[name].cluster for other in trained), f"nothing like {name} is trained"
        assert not any(asked_of(TASKS[other]) & asked_of(TASKS[name]) for other in trained), f"{name} is trained"
    kept: Counter[tuple[str, str]] = Counter()
    for name in trained:
        ids = [template.name for template in TASKS[name].templates]
        assert set(plan["wordings"][name]) <= set(ids) and len(ids) - len(plan["wordings"][name]) >= 6
        kept.update((TASKS[name].language, id) for id in ids if id not in plan["wordings"][name])
    for name in trained:
        if TASKS[name].cluster not in ("safety", "format"):
            common = plan["wordings"][name][0]
            assert kept[TASKS[name].language, common] >= 2, f"{name}: no other task keeps {common}"
