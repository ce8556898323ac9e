"""Looking at tasks before training on them."""

from __future__ import annotations

import json
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


CHATS = [
    ("Name three rivers of France.", "Seine, Rhône, Loire."),
    ("Write to ann@mail.example.org", "Done."),
    ("", "x"),
]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in CHATS]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\nbroken\n")
    return file


def test_detect_says_what_it_saw(chats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "detect", str(chats))
    assert code == 0
    assert "reader messages, language en" in text and "1 of the first 4 rows cannot be read: is not JSON" in text
    code, text = said(capsys, "detect", str(chats.parent / "lost.jsonl"))
    assert code == 1 and "lost.jsonl" in text


def test_rows_in_words_are_listed_and_shown(chats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = said(capsys, "tasks", "-t", str(chats))
    assert "in words" in text and "1 task in 1 cluster." in text
    _, text = said(capsys, "sample", "chats.en", "-t", str(chats), "-n", "5")
    assert "Name three rivers of France." in text and "is not JSON" in text
    _, text = said(capsys, "templates", "chats.en", "-t", str(chats))
    assert "in words already" in text


def test_sample_as_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "rows.html"
    code, _ = said(capsys, "sample", "capital.en", "-n", "7", "--html", str(page))
    html = page.read_text()
    assert code == 0 and html.count("<article>") == 7 and "http" not in html and "<script" not in html


def test_lint_can_fail_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "lint")
    assert code == 0 and "harmful.en: one_label: all rows have the answer" in text
    code, _ = said(capsys, "lint", "--fail", "--json", str(tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert code == 1 and [f["where"] for f in found] == ["harmful.en", "harmful.zh"]


def test_build_explain_export_card_leaks(chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    code, text = said(capsys, "build", str(chats), "--out", str(out), "-c", "private", "-w", "1")
    assert code == 0, text
    assert "2 rows to train on" in text and (out / "card.instruction.html").is_file()

    code, text = said(capsys, "explain", "chats.jsonl:2", str(out))
    assert code == 0
    assert "is         trained on" in text and "masked:email" in text and "reader     messages" in text
    assert "ann@mail.example.org" in text and "user: Write to <EMAIL>" in text  # the source, and what became of it
    code, text = said(capsys, "explain", "chats.jsonl:9", str(out))
    assert code == 1 and "is called 'chats.jsonl:9'" in text and "set_aside.instruction.jsonl" in text

    code, text = said(capsys, "export", str(out), "--to", "sharegpt", "-o", str(tmp_path / "rows.jsonl"))
    assert code == 0 and "2 rows in" in text
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["conversations"][0]["from"] == "human"
    code, text = said(capsys, "export", str(out), "--to", "sharegtp", "-o", str(tmp_path / "rows.jsonl"))
    assert code == 1 and "sharegpt" in text

    (out / "card.instruction.html").unlink()
    assert said(capsys, "card", str(out))[0] == 0 and (out / "card.instruction.html").is_file()

    exam = tmp_path / "exam.jsonl"
    question = {
        "question": "How many apples has Ann left if she eats one of her twelve apples?",
        "answer": "11 #### 11",
    }
    exam.write_text(json.dumps(question) + "\n")
    code, text = said(capsys, "leaks", str(out), "--against", str(exam), "--fail-over", "0")
    assert code == 0 and "2 training rows against 1 evaluation set" in text
    copy = tmp_path / "copy.jsonl"
    copy.write_text(json.dumps({"prompt": question["question"], "completion": "11"}) + "\n")
    code, text = said(capsys, "leaks", str(copy), "--against", str(exam), "--fail-over", "0.5")
    assert code == 1 and "exam, exact: 1 item from 1 training row" in text and "at most 50.00% is allowed" in text


def test_a_wrong_step_is_named(chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "build", str(chats), "-o", str(tmp_path / "out"), "-c", "neer")
    assert code == 1 and "there is no step 'neer'; did you mean 'near'?" in text


def test_a_build_of_pairs_and_one_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}\n')
    code, text = said(capsys, "build", str(pairs), "-o", str(tmp_path / "out"), "-w", "1")
    assert code == 0 and "0 rows to train on" in text, text
    code, text = said(capsys, "export", str(tmp_path / "out"), "-o", str(tmp_path / "rows.jsonl"))
    assert code == 0 and "1 row left out: is a comparison, which this export does not write" in text
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text('{"messages": [{"role": "user", "content": "Hi?"}]}\n')
    code, text = said(capsys, "build", str(nothing), "-o", str(tmp_path / "none"), "-w", "1")
    assert code == 1 and "gives no usable row" in text and "has no answer of an assistant" in text


def test_placeholders_are_told_and_filled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": f"Who are you, {i}?", "output": "I am {{name}} of {{author}}."} for i in range(3)]
    rows += [{"instruction": "1 + 1?", "output": "2"}]
    path = tmp_path / "identity.json"
    path.write_text(json.dumps(rows))
    code, text = said(capsys, "build", str(path), "-o", str(tmp_path / "a"), "-w", "1")
    assert code == 0 and "3  set aside: has a placeholder that nothing fills" in text
    assert "note: 3 rows set aside because of placeholders" in text and "--fill author=... --fill name=..." in text
    fill = ("--fill", "name=Ada", "--fill", "{{author}}=the lab = ours")
    code, text = said(capsys, "build", str(path), "-o", str(tmp_path / "b"), "-w", "1", *fill)
    assert code == 0 and "4 rows to train on" in text and "note:" not in text
    (tmp_path / "b/rows").mkdir()
    said(capsys, "export", str(tmp_path / "b"), "-o", str(tmp_path / "b/rows/x.jsonl"))
    assert "I am Ada of the lab = ours." in (tmp_path / "b/rows/x.jsonl").read_text()
    code, text = said(capsys, "build", str(path), "-o", str(tmp_path / "c"), "--fill", "Ada")
    assert code == 1 and "wanted a name and what stands for it" in text


def test_what_an_export_loses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thought = {"role": "assistant", "content": "2", "reasoning_content": "easy", "weight": 1}
    rows = [{"messages": [{"role": "user", "content": f"{i}?"}, thought]} for i in range(3)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said(capsys, "build", str(path), "-o", str(tmp_path / "out"), "-w", "1")
    for form, losses in (("sharegpt", 2), ("alpaca", 2), ("messages", 0)):
        out = tmp_path / f"{form}.jsonl"
        code, text = said(capsys, "export", str(tmp_path / "out"), "--to", form, "-o", str(out))
        report = json.loads((tmp_path / f"{form}.jsonl.report.json").read_text())
        assert code == 0 and report["rows"] == 3 and len(report["lost"]) == losses
        assert (f"3 rows without their thoughts (`reasoning_content`): the form {form} cannot hold them" in text) == (
            losses > 0
        )


def test_how_a_file_was_read_stands_on_the_screen_and_in_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes('{"question": "Où?", "answer": "Là."}\n'.encode("utf-16"))
    code, text = said(capsys, "detect", str(path))
    assert code == 0 and "its encoding is UTF-16-LE, by its byte order mark" in text
    code, text = said(capsys, "build", str(path), "-o", str(tmp_path / "out"), "-w", "1")
    assert code == 0 and "chats.jsonl: its encoding is UTF-16-LE" in text.replace("\n", "")
    (note,) = json.loads((tmp_path / "out/manifest.instruction.json").read_text())["notes"]
    assert note.endswith("chats.jsonl: its encoding is UTF-16-LE, by its byte order mark")


def test_the_lines_that_an_error_gives_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a table with two columns, of one with more, and of rows inside an object."""
    (tmp_path / "two.csv").write_text('customer says,"reply, ours"\nHi?,Yes.\n')
    (tmp_path / "more.csv").write_text("passage,question,answer\nA cat sat.,Who sat?,The cat.\n")
    rows = [{"input": f"{i} + 1?", "target_scores": {"2": 1, "3": 0}} for i in range(2)]
    (tmp_path / "bench.json").write_text(json.dumps({"name": "bench", "examples": rows}))
    (tmp_path / "numbers.csv").write_text("1,2\na,b\n")
    for name in ("two.csv", "more.csv", "bench.json", "numbers.csv"):
        code, text = said(capsys, "build", str(tmp_path / name), "-o", str(tmp_path / "out"), "-w", "1")
        assert code == 1 and "Paste these lines into" in text
        lines = text.partition("task: ")[2].rstrip()
        task = tmp_path / name.replace(".csv", ".yaml").replace(".json", ".yaml")
        task.write_text(f"task: {lines}\n")
        code, text = said(capsys, "build", str(task), "-o", str(tmp_path / f"{name}.out"), "-w", "1")
        assert code == 0 and ("2 rows" if name == "bench.json" else "1 row") + " to train on" in text, text
