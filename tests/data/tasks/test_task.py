"""Task files: read whole, and every problem told at once, with its line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.conftest import CAPITAL
from tunesmith.core.errors import DataError, RecipeError
from tunesmith.data import Task, Turn, find_task, load_tasks


def test_a_task_is_read_whole(world: list[Task]) -> None:
    task = world[0]
    assert [t.id for t in world] == ["capital.en", "continent.en", "sound.en"]
    assert (task.cluster, task.language, task.name, task.reader, task.stem) == (
        "geography", "en", "world_capital", "table", "capital",
    )  # fmt: skip
    assert (task.input, task.answer, task.options, task.metric) == (("x",), "y", 3, "exact_match")
    assert [(t.id, t.kind) for t in task.templates] == [
        ("capital.en/what", "plain"),
        ("capital.en/sentence", "plain"),
        ("capital.en/choose", "options"),
        ("capital.en/whose", "inverted"),
        ("capital.en/turns", "dialogue"),
    ]
    assert task.templates[0].messages == (
        Turn("user", "What is the capital of {{ x }}?"),
        Turn("assistant", "{{ y }}"),
    )
    assert task.templates[0].source.line == 13
    assert world[2].name == "sound"


BROKEN = """\
task: capital
cluster: geography
langage: en
reader: tabel
metric: exact_mach
input: [x]
options: 1
templates:
  - id: what
    instrution: "What is {{ x }}?"
    target: "{{ y }}"
  - id: what
    instruction: "{% if x %}What?{% endfi %}"
    target: "{{ y }}"
    kind: invertd
  - id: turns
    messages:
      - {role: user, content: "a"}
      - {role: user, content: "b"}
  - id: choose
    kind: options
    instruction: "a"
    target: ""
"""


def test_every_problem_at_once_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BROKEN)
    (tmp_path / "b.yaml").write_text("task: [\n")
    with pytest.raises(RecipeError) as caught:
        load_tasks([tmp_path], metrics={"exact_match", "refusal"})
    told = [line.replace(f"{tmp_path}/", "") for line in str(caught.value).splitlines()]
    assert told[0] == "14 problems in the task files:"
    assert told[1:14] == [
        "a.yaml:1: the key 'language' is missing",
        "a.yaml:3: unknown key 'langage'; did you mean 'language'?",
        "a.yaml:4: reader 'tabel' is not known; did you mean 'table'?",
        "a.yaml:5: metric 'exact_mach' is not known; did you mean 'exact_match'?",
        "a.yaml:7: 'options' is 1, wanted 2 to 999,999 (0 for none)",
        "a.yaml:9: the key 'instruction' is missing",
        "a.yaml:10: unknown key 'instrution'; did you mean 'instruction'?",
        "a.yaml:12: template 'what' is given twice; first on line 9",
        "a.yaml:13: this is not Jinja: Encountered unknown tag 'endfi'. Jinja was looking for the following tags: "
        "'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.",
        "a.yaml:15: template kind 'invertd' is not known; did you mean 'inverted'?",
        "a.yaml:19: this turn is the user's, wanted the assistant's",
        "a.yaml:21: this template shows options, but the task has no key 'options'",
        "a.yaml:23: 'target' is empty, wanted a text",
    ]
    assert told[14].startswith("b.yaml:2: this is not YAML")


def test_a_reader_that_lacks_its_key_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CAPITAL.replace("path: capital.jsonl", "path: capitals.jsonl"))
    (tmp_path / "capital.jsonl").write_text("")
    with pytest.raises(RecipeError, match=r"a.yaml:6: there is no file .*; did you mean 'capital.jsonl'"):
        load_tasks(tmp_path)
    (tmp_path / "a.yaml").write_text(CAPITAL.replace("path: capital.jsonl\n", ""))
    with pytest.raises(RecipeError, match=r"a.yaml:1: the key 'path' is missing; the reader 'table' needs it"):
        load_tasks(tmp_path)


def test_scalars_stay_as_written(tmp_path: Path) -> None:
    """In YAML 1.1 `no` is False and 1.0 a number; a Norwegian task would lose its language."""
    (tmp_path / "capital.jsonl").write_text("")
    text = CAPITAL.replace("language: en", "language: no").replace('target: "{{ x }}"', "target: 1.0")
    (tmp_path / "a.yaml").write_text(text)
    (task,) = load_tasks(tmp_path)
    assert task.id == "capital.no"
    assert task.template("whose").target == "1.0"


def test_one_id_once(world: list[Task], tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(CAPITAL)
    with pytest.raises(RecipeError, match=r"capital.en.yaml:1: task 'capital.en' is already defined in .*again.yaml:1"):
        load_tasks(tmp_path)


def test_a_key_given_twice_and_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("task: a\ntask: b\n")
    (tmp_path / "b.yaml").write_bytes(b"task: a\nname: \xff\n")
    with pytest.raises(RecipeError) as caught:
        load_tasks(tmp_path)
    assert "a.yaml:2: task: this key is given twice; first on line 1" in str(caught.value)
    assert "b.yaml:2: this line is not UTF-8" in str(caught.value)


def test_near_misses(world: list[Task], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no task 'captal.en'; did you mean 'capital.en'"):
        find_task(world, "captal.en")
    with pytest.raises(DataError, match="no template 'wat'; did you mean 'what'"):
        world[0].template("wat")
    with pytest.raises(RecipeError, match=r"no task file or folder .*; did you mean 'sound.en.yaml'"):
        load_tasks(tmp_path / "sound.en.yml")
