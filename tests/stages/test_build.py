"""The build stage on a handful of rows of one's own, and what it writes read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROWS
from tunesmith.errors import DataError, RecipeError
from tunesmith.stages import rows
from tunesmith.stages.build import Build
from tunesmith.stages.stage import Job


def built(tmp_path: Path, tasks: Path, **settings: object) -> Path:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    places = {"tasks": [str(tasks)], "text": [str(tmp_path / "text.txt")], "held_out": str(tmp_path / "held_out.yaml")}
    stage = Build.model_validate({"kind": "build", **places, **settings})
    stage.run(Job("build", out, 1))
    return out


def test_what_is_held_out_is_not_trained_on(tmp_path: Path, tasks: Path) -> None:
    out = built(tmp_path, tasks)
    assert rows.texts(out) == ["The cow says moo.", "The dog says woof."]
    trained = rows.train(out, "instruction")
    assert sorted(c.messages[0].content for c in trained) == [
        f"What sound has the {a}?" for a in sorted(r[0] for r in ROWS)
    ]
    held = rows.held_out(out, "instruction")
    assert {level: len(group) for level, group in held.items()} == {"seen": 4, "wording": 4, "cluster": 8}
    assert {c.messages[1].content for c in held["cluster"]} == {r[2] for r in ROWS}
    assert {c.id for c in trained}.isdisjoint(c.id for level in ("wording", "cluster") for c in held[level])
    assert json.loads((out / "proof.instruction.json").read_text())["format"] == "instruction"
    steps = json.loads((out / "ledger.json").read_text())["instruction"]["steps"]
    assert all(s["rows_in"] == sum(s["out"].values()) + sum(s["aside"].values()) for s in steps)


def test_formats_and_shots(tmp_path: Path, tasks: Path) -> None:
    out = built(tmp_path, tasks, formats=["instruction", "name"], shots=[0, 2])
    assert {c.messages[0].content for c in rows.train(out, "name")} == {f"noise/my_sound: {r[0]}" for r in ROWS}
    few = rows.held_out(out, "instruction", 2)["cluster"]
    assert all(len(c.messages) == 6 for c in few)
    assert all(c.messages[-2].content not in [m.content for m in c.messages[:-2]] for c in few)
    with pytest.raises(DataError, match=r"no held_out\.none\.0\.parquet"):
        rows.held_out(out, "none")


def test_the_files_of_the_user_are_in_the_key(tmp_path: Path, tasks: Path) -> None:
    stage = Build(kind="build", tasks=[str(tasks)], text=["littleworld", str(tmp_path / "text.txt")])
    names = {path.name for path in stage.files()}
    assert names == {"rows.jsonl", "sound.en.yaml", "home.en.yaml", "text.txt"}


def test_data_outside_the_task_folder_are_in_the_key_too(tmp_path: Path, tasks: Path) -> None:
    (tmp_path / "data").mkdir()
    (tasks / "rows.jsonl").rename(tmp_path / "data" / "animals.jsonl")
    for file in tasks.glob("*.yaml"):
        file.write_text(file.read_text().replace("path: rows.jsonl", "path: ../data/animals.jsonl"))
    stage = Build(kind="build", tasks=[str(tasks)], text=[str(tmp_path / "text.txt")])
    assert {path.name for path in stage.files()} >= {"animals.jsonl"}


def test_an_unknown_metric_is_told_before_anything_runs(tmp_path: Path, tasks: Path) -> None:
    file = tasks / "home.en.yaml"
    file.write_text(file.read_text() + "metric: exact_mach\n")
    stage = Build(kind="build", tasks=[str(tasks)])
    with pytest.raises(RecipeError, match=r"home\.en\.yaml:13: .*exact_mach.*exact_match"):
        stage.files()


def test_questions_about_one_fact_are_one_group(tmp_path: Path, tasks: Path) -> None:
    out = built(tmp_path, tasks)
    asked = [c for many in rows.held_out(out, "instruction").values() for c in many]
    assert all(c.group for c in asked) and len({c.group for c in asked}) < len({c.id for c in asked})


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"x\.jsonl:2: this line is not JSON"):
        list(rows.read_lines(tmp_path / "x.jsonl"))
