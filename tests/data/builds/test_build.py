"""Building: deterministic, balanced, leak-free, and drawn so that small is part of large."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.types import LEVELS, Conversation, SetAside, Source
from tunesmith.data import (
    FORMATS,
    Built,
    FewShot,
    HeldOut,
    Ledger,
    SplitProof,
    Step,
    Summary,
    Task,
    build_to,
    check_split,
    load_tasks,
    task_of,
)
from tunesmith.data.builds import datacard
from tunesmith.data.builds.build import build
from tunesmith.data.builds.paths import read_held_out, train_files
from tunesmith.data.load.examples import read
from tunesmith.data.load.preview import sample_rows, task_lines, template_lines
from tunesmith.data.store import conversations

WISH = HeldOut(clusters=("animals",), wordings={"capital.en": ("choose",)}, groups=("capital/japan",))


def rows(built: Built) -> list[Conversation]:
    return [c for task in built.train.values() for c in task]


def test_the_same_again(world: list[Task]) -> None:
    one, two = (build(world, WISH, seed=3, per_level=2, shots=1) for _ in range(2))
    assert one == two
    assert build(world, WISH, seed=4, per_level=2, shots=1).held_out != one.held_out


def test_the_ledger(world: list[Task]) -> None:
    built = build(world, WISH, seed=1, per_level=2)
    assert built.ledger.to_json()["steps"] == [
        {"name": "rows read", "rows_in": 8, "out": {"examples": 8}, "aside": {}},
        {
            "name": "rows in words",
            "rows_in": 24,
            "out": {"train": 14, "wording": 3, "instance": 4, "task": 0, "cluster": 2},
            "aside": {"new wording of a held-out instance: no level": 1},
        },
        {"name": "training rows", "rows_in": 14, "out": {"train": 14}, "aside": {}},
        {
            "name": "held-out rows",
            "rows_in": 9,
            "out": {"wording": 2, "instance": 2, "task": 0, "cluster": 2},
            "aside": {"not among the 2 drawn for a level": 3},
        },
    ]
    assert len(rows(built)) == 14
    assert {level: len(built.held_out[level]) for level in LEVELS} == {
        "seen": 2, "wording": 2, "instance": 2, "task": 0, "cluster": 2,
    }  # fmt: skip
    assert set(built.held_out["seen"]) <= set(rows(built))


def test_a_ledger_that_does_not_balance_cannot_be_made() -> None:
    Step("s", 3, {"train": 2}, {"broken": 1})
    with pytest.raises(DataError, match=r"3 rows in, but 2 out \+ 0 set aside = 2"):
        Step("s", 3, {"train": 2})


def test_the_ledger_in_words() -> None:
    ledger = Ledger((Step("rows", 3, {"train": 2}, {"broken": 1}),), (SetAside("r", "broken", Source("f", 2)),))
    assert ledger.table() == "rows: 3 rows\n         2  train\n         1  set aside: broken"
    assert ledger.to_json()["set_aside"] == [{"row": "r", "reason": "broken", "source": "f:2"}]


def test_a_broken_row_is_set_aside_with_its_reason(world: list[Task], tmp_path: Path) -> None:
    (tmp_path / "sound.csv").write_text("animal,sound,hint\ndog,woof,\ncat,meow,soft\n")
    text = (tmp_path / "sound.en.yaml").read_text().replace("What does a {{ animal }} say?", "{{ hint }}")
    (tmp_path / "sound.en.yaml").write_text(text)
    built = build(load_tasks(tmp_path), HeldOut(), seed=1)
    (row,) = built.ledger.set_aside
    assert row.reason == "the template gives an empty user message" and row.source.line == 2
    assert built.ledger["rows in words"].aside == {row.reason: 1}


def test_what_is_held_out_word_for_word_is_not_trained(world: list[Task], tmp_path: Path) -> None:
    """The same question under another id and group, as duplicates in real data sets are."""
    with (tmp_path / "capital.jsonl").open("a") as file:
        file.write('{"id": "nippon", "x": "Japan", "y": "Tokyo", "group": "capital/nippon"}\n')
    built = build(world, WISH, seed=1)
    leaks = [s for s in built.ledger.set_aside if s.reason.startswith("asks word for word what is held out: ")]
    # All but `choose`, which is a new wording for both of them.
    assert sorted(s.row.partition("@")[2] for s in leaks) == [
        f"capital.en/{name}" for name in ("sentence", "turns", "what", "whose")
    ]
    assert not any("Japan" in c.messages[0].content for c in rows(built) if c.task == "capital.en")


def test_a_task_that_loses_everything_is_an_error(world: list[Task], tmp_path: Path) -> None:
    copy = (tmp_path / "sound.en.yaml").read_text().replace("task: sound", "task: noise").replace("animals", "copies")
    (tmp_path / "noise.en.yaml").write_text(copy)
    with pytest.raises(DataError, match=r"No training row is left of noise.en: .* asks word for word"):
        build(load_tasks(tmp_path), HeldOut(clusters=("animals",)), seed=1)


@pytest.mark.parametrize("format", FORMATS)
def test_the_formats(world: list[Task], format: str) -> None:
    built = build(world, WISH, seed=1, format=format)
    one = next(c for c in rows(built) if c.id.startswith("capital.en/france@"))
    assert (
        one.messages[0].content
        == {
            "instruction": "What is the capital of France?",
            "name": "geography/world_capital: France",
            "none": "France",
        }[format]
    )
    assert len(rows(built)) == (14 if format == "instruction" else 5)
    assert len(built.held_out["instance"]) == (4 if format == "instruction" else 1)


def test_a_smaller_draw_is_part_of_a_larger_one(world: list[Task]) -> None:
    drawn = [set(build(world, WISH, seed=1, per_level=n).held_out["seen"]) for n in range(1, 15)]
    assert [len(d) for d in drawn] == list(range(1, 15))
    assert all(a < b for a, b in pairwise(drawn))


def test_a_draw_takes_from_each_task_in_turn(world: list[Task]) -> None:
    # 12 rows of capital.en and 2 of continent.en: of four, two each.
    tasks = [c.task for c in build(world, WISH, seed=1, per_level=4).held_out["seen"]]
    assert sorted(tasks) == ["capital.en", "capital.en", "continent.en", "continent.en"]


def test_each_metric_gets_a_sixth(world: list[Task]) -> None:
    capital, continent = (next(t for t in world if t.id == name) for name in ("capital.en", "continent.en"))
    many = [dataclasses.replace(continent, id=f"continent{i}.en") for i in range(12)]
    tasks = [dataclasses.replace(capital, metric="refusal"), *many]
    for count in (11, 12, 18):
        drawn = build(tasks, HeldOut(), seed=1, per_level=count).held_out["seen"]
        refusals = sum(c.metric == "refusal" for c in drawn)
        assert refusals == count // 6
        assert count <= len(drawn) <= count + refusals


def test_cut_for_the_curves(world: list[Task]) -> None:
    whole = build(world, HeldOut(tasks=("continent.en",)), seed=1)
    by_k = {k: build(world, HeldOut(tasks=("continent.en",)), seed=1, templates_per_task=k) for k in (1, 2, 9)}
    used = {k: {c.template for c in rows(b) if c.task == "capital.en"} for k, b in by_k.items()}
    assert len(used[1]) == 1 and len(used[2]) == 2 and used[1] < used[2]
    assert rows(by_k[9]) == rows(whole)
    assert all(b.held_out["task"] == whole.held_out["task"] for b in by_k.values())
    assert by_k[1].ledger["training rows"].aside == {"not in the 1 templates trained on per task": 16}
    named = build(world, HeldOut(tasks=("continent.en",)), seed=1, templates_named=[next(iter(used[1])).split("/")[1]])
    assert {c.template for c in rows(named) if c.task == "capital.en"} == used[1]
    assert named.held_out["task"] == whole.held_out["task"]
    with pytest.raises(DataError, match="No task has a template 'nowhere'"):
        build(world, WISH, seed=1, templates_named=["nowhere"])
    every = build(world, HeldOut(tasks=("capital.en",)), seed=1)
    words = sorted(c.template for c in every.held_out["task"])[0].split("/")[1]
    asked = build(world, HeldOut(tasks=("capital.en",)), seed=1, templates_asked=[words])
    assert asked.held_out["task"] == tuple(c for c in every.held_out["task"] if c.template.endswith(f"/{words}"))
    others = len(every.held_out["task"]) - len(asked.held_out["task"])
    assert rows(asked) == rows(every) and asked.held_out["task"] and others
    assert asked.ledger["held-out rows"].aside == {"in none of the templates that are named for asking": others}
    with pytest.raises(DataError, match="No task has a template 'nowhere'"):
        build(world, WISH, seed=1, templates_asked=["nowhere"])
    one = build(world, HeldOut(tasks=("continent.en",)), seed=1, clusters=1)
    assert len({c.cluster for c in rows(one)}) == 1
    with pytest.raises(DataError, match="clusters is 0, wanted 1 or more"):
        build(world, WISH, seed=1, clusters=0)


def test_shots_are_trained_rows_and_never_the_question_itself(world: list[Task]) -> None:
    built = build(world, WISH, seed=1, shots=2)
    plain = build(world, WISH, seed=1)
    assert rows(built) == rows(plain)
    shown = [c for c in built.held_out["wording"] if c.id.startswith("capital.en/france@")]
    (row,) = shown
    questions = [m.content.split("?")[0] for m in row.messages if m.role == "user"]
    assert len(questions) == 3 and questions[-1] == "Capital of France"
    assert set(questions[:2]) == {"Capital of China", "Capital of Peru"}  # Japan is held out, France is asked
    # sound.en has two rows, so a question has one other row at most; continent.en likewise.
    assert built.held_out["cluster"] == ()
    step = built.ledger["held-out rows with 2 examples before the question"]
    assert step.aside == {"the task has too few other examples to show": 4}  # two of them seen in training


@pytest.mark.parametrize("row", ['"x": "France", "group": "capital/gaul"', '"x": "Gaul", "group": "capital/france"'])
def test_a_shot_has_neither_the_question_nor_the_group_of_the_row(world: list[Task], tmp_path: Path, row: str) -> None:
    """Of five rows two are as good as the same, so these two find three others at most."""
    with (tmp_path / "capital.jsonl").open("a") as file:
        file.write(f'{{"id": "gaul", "y": "Paris", {row}}}\n')
    built = build(world, HeldOut(), seed=1, shots=4, format="name")
    asked = sorted(c.id.partition("@")[0] for c in built.held_out["seen"])
    assert asked == ["capital.en/china", "capital.en/japan", "capital.en/peru"]


def test_the_same_bare_input_is_no_leak_unless_the_answer_is_the_same_too(world: list[Task], tmp_path: Path) -> None:
    """An instruction says what is asked, and is the same question whatever the answer; bare input is not."""
    with (tmp_path / "capital.jsonl").open("a") as file:
        file.write('{"id": "nippon", "x": "Japan", "y": "Kyoto", "group": "capital/nippon"}\n')
    for format, leaks in {"instruction": 3, "name": 1, "none": 0}.items():
        found = build(world, WISH, seed=1, format=format).ledger.set_aside
        assert len(found) == leaks and all("word for word" in s.reason for s in found)


def test_previews(world: list[Task]) -> None:
    found = read(world)
    lines = task_lines(world, found)
    assert [(line.id, line.rows, line.groups, line.templates, line.options) for line in lines] == [
        ("sound.en", 2, 2, 1, 0),
        ("capital.en", 4, 4, 5, 3),
        ("continent.en", 2, 2, 1, 0),
    ]
    told = template_lines(world[0], found)
    assert [t.id for t in told] == [t.id for t in world[0].templates]
    assert all(isinstance(t.sample, Conversation) and t.sample.template == t.id for t in told)
    three = sample_rows(world[0], found)
    assert len(three) == 3 and three == sample_rows(world[0], found) != sample_rows(world[0], found, seed=1)
    broken = dataclasses.replace(world[0], templates=(dataclasses.replace(world[0].templates[2]),))
    few = dataclasses.replace(
        found, examples={"capital.en": (dataclasses.replace(found.examples["capital.en"][0], options=()),)}
    )
    (row,) = sample_rows(broken, few, count=1)
    assert isinstance(row, SetAside) and "fewer than two answers" in row.reason


def built_to(out: Path, tasks: list[Task], **settings: Any) -> tuple[Summary, list[Conversation]]:
    summary = build_to(out, tasks, WISH, seed=1, **settings)
    return summary, list(conversations(*train_files(out, "instruction")))


def test_some_wordings_of_each_example(world: list[Task], tmp_path: Path) -> None:
    _, every = built_to(tmp_path / "all", world)
    for count in (1, 2):
        summary, rows = built_to(tmp_path / str(count), world, wordings=count)
        of_example = Counter(row.id.partition("@")[0] for row in rows)
        offered = Counter(row.id.partition("@")[0] for row in every)
        assert of_example == {id: min(count, n) for id, n in offered.items()}
        assert {row.id for row in rows} <= {row.id for row in every}
        lost = summary.ledger["training rows"].aside
        assert lost == {f"not among the {count} wordings of its example": len(every) - len(rows)}
        assert (
            read_held_out(tmp_path / "all", "instruction")["instance"]
            == (read_held_out(tmp_path / str(count), "instruction")["instance"])
        )


def test_training_rows_with_examples(world: list[Task], tmp_path: Path) -> None:
    """Examples are of the training side, never of the row's own group, and are answered as the row is asked."""
    _, plain = built_to(tmp_path / "plain", world)
    summary, rows = built_to(tmp_path / "shown", world, few_shot=FewShot(1.0, shots=1))
    assert [row.id for row in rows] == [row.id for row in plain]
    shown = [row for row in rows if "shots:1" in row.tags]
    step = summary.ledger["training rows with examples before the question"]
    assert step.out == {"with 1 examples": len(shown), "as they are": len(rows) - len(shown)}
    assert len(shown) > len(rows) / 2
    by_id = {row.id: row for row in plain}
    trained = {m.content for row in plain for m in row.messages}
    for row in rows:
        first = int(row.messages[0].role == "system")
        alone = by_id[row.id].messages
        assert row.messages[:first] == alone[:first]
        question = alone[first:]
        assert row.messages[-len(question) :] == question
        before = row.messages[first : -len(question)]
        assert len(before) == (len(question) if row in shown else 0)
        assert all(m.content in trained for m in before) and (not before or before[0] != question[0])
    check_split(SplitProof.load(tmp_path / "shown" / "proof.instruction.json"), train=rows)
    _, some = built_to(tmp_path / "some", world, few_shot=FewShot(0.5, shots=1))
    assert 0 < sum("shots:1" in row.tags for row in some) < len(shown)
    with pytest.raises(DataError, match="shots is 0, wanted 1 or more"):
        built_to(tmp_path / "none", world, few_shot=FewShot(0.5, shots=0))


def write_pairs(path: Path, count: int = 3) -> Path:
    path.write_text(
        "".join(f'{{"prompt": "Question {i}?", "chosen": "Yes {i}.", "rejected": "No."}}\n' for i in range(count))
    )
    return path


def test_a_build_of_comparisons_alone_has_its_card(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    summary = build_to(out, [task_of(write_pairs(tmp_path / "pairs.jsonl"))], HeldOut(), seed=1)
    assert summary.counts["train"] == 0 and summary.comparisons == 3
    page = datacard.write(out).read_text()
    card = datacard.measure(out)
    assert (card.rows, card.compared, card.looked_at) == (0, 3, 3) and card.tasks == {"pairs.en": 3}
    assert "0 rows and 3 comparisons to train on, of 1 task in 1 cluster" in page
    assert "| pairs.en | 3 | 100\u00a0% |" in datacard.markdown(card)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"messages": [{"role": "user", "content": "x"}]}\n' * 3, "of 3 rows set aside the first, .*has no answer"),
        ("", "gives no usable row"),
        ("\n\n", "gives no usable row"),
    ],
)
def test_a_file_of_which_no_row_can_be_used_is_an_error(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    task = Task("rows.en", "rows", "en", "rows", "messages", (), settings={"path": path}, source=Source(str(path)))
    (tmp_path / "out").mkdir()
    pairs = task_of(write_pairs(tmp_path / "pairs.jsonl"))
    with pytest.raises(DataError, match=r"rows.jsonl: the reader 'messages' gives no usable row"):
        build_to(tmp_path / "out", [pairs, task], HeldOut(), seed=1)
    with pytest.raises(DataError, match=why):
        build_to(tmp_path / "out", [task], HeldOut(), seed=1)
