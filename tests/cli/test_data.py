"""Looking at tasks before training on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import cli


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", *args])
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out + out.err


def test_tasks_of_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "tasks", "--cluster", "geography")
    assert code == 0
    assert "capital.en" in text and "opposite.en" not in text and "in 1 cluster." in text


def test_templates_show_source_and_sample(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "templates", "capital.en")
    assert code == 0
    assert "user: What is the capital of {{ x }}?" in text
    assert "user: What is the capital of Hungary?\n  assistant: Budapest" in text


def test_rows_in_the_format_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "sample", "capital.en", "--format", "name", "-n", "2")
    assert code == 0
    assert text.count("user: geography/world_capital: ") == 2


def test_rows_that_cannot_be_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = """\
task: topic
cluster: support
language: en
name: tickets
reader: table
path: rows.jsonl
input: [text]
answer: topic
templates:
  - {id: which, instruction: "{{ text }}\\nTopic:", target: "{{ topic }}"}
"""
    (tmp_path / "topic.yaml").write_text(task)
    (tmp_path / "rows.jsonl").write_text('{"text": "Late again", "topic": "delivery"}\n{"text": \n')
    for verb in (("tasks",), ("sample", "topic.en")):
        code, text = said(capsys, *verb, "--tasks", str(tmp_path))
        assert code == 0
        flat = text.replace("\n", "")
        assert "1 row set aside:" in text and "rows.jsonl:2: is not JSON" in flat
    assert "user: Late again\n    Topic:\n  assistant: delivery" in text


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("tasks", "--cluster", "geografy"), "Did you mean 'geography'?"),
        (("sample", "capitol.en"), "did you mean 'capital.en'?"),
        (("sample", "capital.en", "--template", "what_iss"), "did you mean 'what_is'?"),
        (("sample", "capital.en", "--format", "names"), "Format 'names' is not known"),
        (("tasks", "--tasks", "nowhere"), "There is no task file or folder nowhere"),
    ],
)
def test_what_an_error_says(args: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, *args)
    assert code == 1
    assert told in text.replace("\n", " ")


def test_every_problem_of_own_task_files_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.en.yaml").write_text("task: a\nclustr: b\nlanguage: en\nreader: table\n")
    code, text = said(capsys, "tasks", "--tasks", str(tmp_path))
    assert code == 1
    assert "a.en.yaml:2: unknown key 'clustr'; did you mean 'cluster'?" in text
    assert "'path' is missing" in text
