"""What is held out: every pair in one place, and a proof that a wrong side does not pass."""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError, RecipeError
from tunesmith.core.types import LEVELS, Level
from tunesmith.data import (
    Built,
    HeldOut,
    ProofRow,
    Split,
    SplitProof,
    Task,
    check_split,
    prompt_digest,
    read,
    render,
)
from tunesmith.data.builds.build import build
from tunesmith.data.builds.fingerprints import CardBox, Cards
from tunesmith.data.builds.held_out import PLACES
from tunesmith.data.builds.proof import proof_table

WISH = HeldOut(
    clusters=("animals",),
    tasks=("continent.en",),
    wordings={"capital.en": ("choose",)},
    groups=("capital/japan",),
)


@pytest.fixture
def built(world: list[Task]) -> Built:
    return build(world, WISH, seed=1)


def test_every_pair_has_its_place(world: list[Task]) -> None:
    cards, placed = cards_of(world, WISH)
    places = dict(zip(placed, (PLACES[n] for n in Split.make(WISH, cards, names(world)).places), strict=True))
    assert places["capital.en/france@capital.en/what"] == "train"
    assert places["capital.en/france@capital.en/choose"] == "wording"
    assert places["capital.en/japan@capital.en/what"] == "instance"
    assert places["capital.en/japan@capital.en/choose"] == "neither"
    by_task = {row.partition("/")[0]: place for row, place in places.items()}
    assert (by_task["sound.en"], by_task["continent.en"]) == ("cluster", "task")


def cards_of(tasks: list[Task], wish: HeldOut) -> tuple[Cards, list[str]]:
    """The cards of all pairs, and the ids of the rows."""
    box, ids = CardBox(wish, 1), []
    found = read(tasks)
    for task in tasks:
        for template in task.templates:
            for example in found.examples[task.id]:
                row = render(example, template, task)
                box.add(row, prompt_digest(row), task.name)
                ids.append(row.id)
    return box.cards(), ids


def names(tasks: list[Task]) -> dict[str, list[str]]:
    return {task.id: [template.id for template in task.templates] for task in tasks}


def test_counted_by_hand(built: Built) -> None:
    # capital.en: 4 facts x 5 wordings = 20; japan is held out, and so is the wording `choose`.
    assert built.proof.counts == {"train": 3 * 4, "wording": 3, "instance": 4, "task": 2, "cluster": 2}


def test_a_fact_asked_by_a_held_out_task_is_not_trained(world: list[Task], tmp_path: Path) -> None:
    """continent.en is held out; if it asks about the group of capital/france, then capital.en must not train on it."""
    rows = '{"id": "france", "x": "France", "y": "Europe", "g": "capital/france"}\n'
    (tmp_path / "continent.jsonl").write_text(rows)
    tasks = [
        dataclasses.replace(t, settings={**t.settings, "group": "g"}) if t.id == "continent.en" else t for t in world
    ]
    built = build(tasks, HeldOut(tasks=("continent.en",)), seed=1)
    assert {c.id.partition("@")[0] for c in built.held_out["instance"]} == {"capital.en/france"}
    assert not any(c.id.startswith("capital.en/france") for c in built.train["capital.en"])


def test_the_hash_rule_is_as_written() -> None:
    wish = HeldOut(instance_fraction=0.3, salt="s")
    groups = [f"relation/{i}" for i in range(2000)]
    for group in groups[:50]:
        unit = int.from_bytes(sha256(f"s|{group}".encode()).digest()[:8], "big") / 2**64
        assert wish.chooses(group) == (unit < 0.3)
    assert 540 < sum(map(wish.chooses, groups)) < 660
    more = HeldOut(instance_fraction=0.5, salt="s")
    assert all(more.chooses(g) for g in groups if wish.chooses(g))


def test_wordings_by_number(world: list[Task]) -> None:
    built = build(world, HeldOut(clusters=("animals",), tasks=("continent.en",), wordings_per_task=2), seed=1)
    held = {c.template for c in built.held_out["wording"]}
    assert len(held) == 2
    assert held.isdisjoint(c.template for c in built.train["capital.en"])


def test_wrong_names_all_at_once(world: list[Task]) -> None:
    wish = HeldOut(clusters=("animal",), tasks=("capital",), wordings={"capital.en": ("wat",)}, instance_fraction=1.0)
    with pytest.raises(DataError) as caught:
        Split.make(wish, cards_of(world, wish)[0], names(world))
    assert str(caught.value).splitlines()[1:] == [
        "cluster 'animal' is not known; did you mean 'animals'?",
        "task 'capital' is not known; did you mean 'capital.en'?",
        "task 'capital.en' has no template 'wat'; did you mean 'what'?",
        "the fraction of instances is 1.0, wanted from 0 up to below 1",
        *(f"all {n} rows of task '{t}.en' are held out: lower the fraction (1.0), or change the salt"
          for t, n in (("capital", 4), ("continent", 2), ("sound", 2))),
    ]  # fmt: skip


def test_something_must_be_left(world: list[Task]) -> None:
    names = tuple(t.name for t in world[0].templates)
    with pytest.raises(DataError, match=r"all 5 wordings of task 'capital.en' are held out"):
        build(world, HeldOut(wordings={"capital.en": names}), seed=1)
    with pytest.raises(DataError, match="every task is held out"):
        build(world, HeldOut(clusters=("animals", "geography")), seed=1)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "held_out.yaml"
    file.write_text(
        "clusters: [animals]\ntasks: [a.en]\nwordings: {b.en: [x, y]}\ninstances: {fraction: 0.1, groups: [g/1]}\n"
    )
    found = HeldOut.load(file)
    assert found == HeldOut(("animals",), ("a.en",), {"b.en": ("x", "y")}, 0, 0.1, ("g/1",))
    assert HeldOut.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()
    file.write_text("cluster: [animals]\ninstances:\n  fraction: some\n")
    with pytest.raises(RecipeError) as caught:
        HeldOut.load(file)
    assert "held_out.yaml:1: unknown key 'cluster'; did you mean 'clusters'?" in str(caught.value)
    assert "held_out.yaml:3: 'fraction' is 'some', wanted a number" in str(caught.value)


# -- the proof ---------------------------------------------------------------------------------------------------------


def test_the_proof_survives_the_disk_and_holds(built: Built, tmp_path: Path) -> None:
    built.proof.write(tmp_path / "proof.json")
    proof = SplitProof.load(tmp_path / "proof.json")
    assert proof == built.proof and proof.rows.equals(built.proof.rows)
    rows = [c for task in built.train.values() for c in task]
    check_split(proof, rows, built.held_out)


def with_rows(proof: SplitProof, rows: list[tuple[str, ProofRow]]) -> SplitProof:
    return dataclasses.replace(proof, rows=proof_table(rows))


def rows_of(proof: SplitProof) -> list[tuple[str, ProofRow]]:
    return [(side, row) for side in ("train", *LEVELS[1:]) for row in proof.of(side)]


def with_train(proof: SplitProof, row: ProofRow) -> SplitProof:
    return with_rows(proof, [*rows_of(proof), ("train", row)])


@pytest.mark.parametrize("level", ["wording", "instance", "task", "cluster"])
def test_a_row_on_both_sides_is_found(built: Built, level: Level) -> None:
    row = built.proof.of(level)[0]
    with pytest.raises(DataError, match=f"level '{level}': ids on both sides: 1, such as {row.id}"):
        check_split(with_train(built.proof, row))


@pytest.mark.parametrize("level", ["wording", "instance", "task", "cluster"])
def test_a_prompt_on_both_sides_is_found(built: Built, level: Level) -> None:
    asked = built.proof.of(level)[0].prompt
    (side, first), *others = rows_of(built.proof)
    assert side == "train"
    forged = with_rows(built.proof, [("train", first._replace(prompt=asked)), *others])
    with pytest.raises(DataError, match=f"level '{level}': prompts on both sides"):
        check_split(forged)


@pytest.mark.parametrize("level", ["task", "cluster"])
def test_a_data_set_on_both_sides_is_found(built: Built, level: Level) -> None:
    task = built.proof.of(level)[0].task
    forged = dataclasses.replace(built.proof, data_sets={**built.proof.data_sets, task: "world_capital"})
    with pytest.raises(DataError, match=f"level '{level}': data sets on both sides: 1, such as world_capital"):
        check_split(forged)


def test_a_data_set_that_a_held_out_task_is_made_of_is_not_trained(world: list[Task]) -> None:
    tasks = [dataclasses.replace(t, name="world_capital") if t.id == "sound.en" else t for t in world]
    with pytest.raises(DataError, match=r"'capital.en' is made of the data set 'world_capital', .* task 'sound.en'"):
        build(tasks, HeldOut(clusters=("animals",)), seed=1)


@pytest.mark.parametrize("level", ["instance", "task", "cluster"])
def test_a_group_on_both_sides_is_found(built: Built, level: Level) -> None:
    group = built.proof.of(level)[0].group
    row = ProofRow("capital.en/new@capital.en/what", "geography", group, "0" * 16)
    with pytest.raises(DataError, match=f"level '{level}': groups on both sides: 1, such as {group}"):
        check_split(with_train(built.proof, row))


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (ProofRow("sound.en/cow@sound.en/says", "animals", "sound/cow", "0"), "cluster"),
        (ProofRow("continent.en/x@continent.en/where", "geography", "continent/x", "0"), "task"),
        (ProofRow("capital.en/x@capital.en/choose", "geography", "capital/x", "0"), "wording"),
        (ProofRow("capital.en/x@capital.en/what", "geography", "capital/japan", "0"), "instance"),
    ],
)
def test_a_row_out_of_its_place_is_found(built: Built, row: ProofRow, wanted: str) -> None:
    """Nothing of it is on the held-out side; only the rule says that it must not be trained on."""
    kept = [(side, r) for side, r in rows_of(built.proof) if side == "train" or r.group != row.group]
    proof = with_rows(built.proof, kept)
    check_split(proof)
    with pytest.raises(DataError, match=f"row {row.id} stands in 'train'; by the rule its place is '{wanted}'"):
        check_split(with_train(proof, row))


def test_rows_must_be_those_of_the_proof(built: Built) -> None:
    rows = [c for task in built.train.values() for c in task]
    other = dataclasses.replace(rows[0], messages=rows[1].messages)
    with pytest.raises(DataError, match=f"train: row {other.id} has another prompt than the proof says"):
        check_split(built.proof, [other, *rows[1:]])
    with pytest.raises(DataError, match="train: row new is not in the proof"):
        check_split(built.proof, [dataclasses.replace(rows[0], id="new")])
    moved = dataclasses.replace(rows[0], cluster="animals")
    with pytest.raises(DataError, match="is of another cluster"):
        check_split(built.proof, [moved])
    with pytest.raises(DataError, match=r"instance: row .* is not in the proof"):
        check_split(built.proof, None, {"instance": [rows[0]]})


def test_a_list_of_ids_holds_out_their_groups(world: list[Task], tmp_path: Path) -> None:
    """An example is held out in all tasks and languages that ask about the same."""
    example = build(world, HeldOut(), seed=1).held_out["seen"][0].id.rpartition("@")[0]
    (tmp_path / "ids.txt").write_text(f"{example}\n\n")
    (tmp_path / "held_out.yaml").write_text("instances: {ids: ids.txt}\n")
    wish = HeldOut.load(tmp_path / "held_out.yaml")
    assert wish.ids == (example,)
    built = build(world, wish, seed=1)
    held = built.held_out["instance"]
    assert example in {row.id.rpartition("@")[0] for row in held}
    assert len({row.group for row in held}) == 1
    assert {row.group for row in held}.isdisjoint(row.group for rows in built.train.values() for row in rows)
    check_split(built.proof)
    with pytest.raises(DataError, match=r"1 id of `instances: ids` that no row has, such as 'capital.en/nowhere'"):
        build(world, HeldOut(ids=("capital.en/nowhere",)), seed=1)
    (tmp_path / "held_out.yaml").write_text("instances: {ids: lost.txt}\n")
    with pytest.raises(RecipeError, match="there is no file"):
        HeldOut.load(tmp_path / "held_out.yaml")
