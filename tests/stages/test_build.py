"""The build stage on a handful of rows of one's own, and what it writes read back."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import ROWS
from tunesmith.core.errors import DataError, RecipeError
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


def test_every_row_that_is_not_used_stands_on_the_screen(tmp_path: Path) -> None:
    """Broken, refused by cleaning, repeated, not drawn; and turns that are cut from rows that are used."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    more = [{"role": "user", "content": "c"}]
    long = [{"role": "user", "content": "d"}, {"role": "assistant", "content": "word " * 20}]
    rows_of_file = [talk, [*talk, *more], [*more, {"role": "assistant", "content": "e"}, *more], more, long]
    text = "".join(json.dumps({"messages": messages}) + "\n" for messages in rows_of_file) + "{\n"
    (tmp_path / "chats.jsonl").write_text(text)
    console = Console(file=io.StringIO(), width=200)
    stage = Build.model_validate(
        {
            "kind": "build",
            "tasks": [str(tmp_path / "chats.jsonl")],
            "text": [],
            "held_out": None,
            "clean": {"length": {"answer_most": 5}},
        }
    )
    (tmp_path / "out").mkdir()
    stage.run(Job("build", tmp_path / "out", 1, console=console))
    assert isinstance(console.file, io.StringIO)
    said = " ".join(console.file.getvalue().split())
    for line in (
        "1 row set aside: has no answer of an assistant",
        "1 row set aside: is not JSON",
        "1 row set aside: length: the answer is too long",
        "1 row set aside: is an earlier row again",
        "2 rows changed: cut:turns after the last answer",
    ):
        assert line in said
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())["instruction"]
    told = sum(int(n) for n in re.findall(r"(\d+) rows? set aside", said))
    assert told == sum(count for step in ledger["steps"] for count in step["aside"].values())


def test_placeholders_are_filled_by_the_stage(tmp_path: Path) -> None:
    rows_of = [{"instruction": f"Who are you, {i}?", "output": "I am {{name}}."} for i in range(4)]
    (tmp_path / "identity.json").write_text(json.dumps(rows_of))
    out = tmp_path / "out"
    out.mkdir()
    stage = Build.model_validate({"kind": "build", "tasks": [str(tmp_path / "identity.json")], "fill": {"name": "Ada"}})
    stage.run(Job("build", out, 1))
    assert {row.messages[-1].content for row in rows.train(out, "instruction")} == {"I am Ada."}
    with pytest.raises(DataError, match="gives no usable row"):
        Build.model_validate({"kind": "build", "tasks": [str(tmp_path / "identity.json")]}).run(Job("build", out, 1))


def test_text_to_pretrain_on_is_read_as_any_file(tmp_path: Path, tasks: Path) -> None:
    for name, raw in (
        ("text.txt", "Où?\r\n\r\nLà.\r\n".encode("utf-16")),
        ("text.jsonl", '{"text": "Où?"}\n{"text": "Là."}\n'.encode()),
        ("text.jsonl.gz", gzip.compress('{"text": "Où?"}\n{"text": "Là."}\n'.encode())),
    ):
        (tmp_path / name).write_bytes(raw)
        assert rows.texts(built(tmp_path, tasks, text=[str(tmp_path / name)])) == ["Où?", "Là."]
    (tmp_path / "text.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"text.txt:1: is not UTF-8: byte 4 is 0xe9"):
        built(tmp_path, tasks, text=[str(tmp_path / "text.txt")])
