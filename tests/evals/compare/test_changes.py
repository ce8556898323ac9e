"""Two evaluations side by side, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunesmith.cli import app
from tunesmith.core.errors import EvalError
from tunesmith.evals.compare.changes import changes, of_model
from tunesmith.evals.records import Record, write_records


def record(id: str, value: float, answer: str = "", model: str = "tuned", level: str = "task") -> Record:
    return Record(
        id, model, level, "instruction", 0, "exact_match", "t", "c", "w", "en", id, f"Question {id}?", answer or
        f"{id}{value}", ("right",), value, True,
    )  # fmt: skip


OLD = [record(f"q{i}", float(i < 5)) for i in range(20)]
NEW = [record(f"q{i}", float(3 <= i < 15)) for i in range(18)] + [record("other", 1.0)]


def test_every_question_is_gained_lost_or_neither() -> None:
    (change,) = changes(OLD, NEW)
    assert [b.id for _, b in change.gained] == [f"q{i}" for i in range(5, 15)]
    assert [a.id for a, _ in change.lost] == ["q0", "q1", "q2"]
    assert change.alone == 3 and change.difference.n == 18 and change.reworded == 0
    assert change.difference.value == pytest.approx(7 / 18) and 0 < change.detectable < 1
    (same,) = changes(OLD, [replace(r, answer="other words") for r in OLD])
    assert same.reworded == 20 and not same.gained and same.difference.value == 0


def test_looking_at_many_kinds_costs_sureness() -> None:
    both = [replace(r, level=level) for level in ("task", "cluster") for r in OLD]
    after = [replace(r, level=level) for level in ("task", "cluster") for r in NEW]
    alone, (one, two) = changes(OLD, NEW)[0].p, changes(both, after)
    assert one.p == two.p == pytest.approx(min(1.0, 2 * alone))


def test_whose_answers_are_meant() -> None:
    mixed = OLD + [replace(r, model="base") for r in NEW]
    assert of_model(mixed, None, "x") == OLD
    assert len(of_model(mixed, "base", "x")) == len(NEW)
    with pytest.raises(EvalError, match="Did you mean x#base"):
        of_model(mixed, "bas", "x")
    with pytest.raises(EvalError, match="Say whose are meant: x#one"):
        of_model([record("a", 1.0, model="one"), record("a", 1.0, model="two")], None, "x")
    with pytest.raises(EvalError, match="no question in common"):
        changes(OLD, [record("none", 1.0)])
    with pytest.raises(EvalError, match="twice"):
        changes(OLD + OLD, NEW)


def test_on_the_command_line(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", OLD)
    (tmp_path / "run" / "eval").mkdir(parents=True)
    write_records(tmp_path / "run" / "eval" / "answers.jsonl", NEW)
    run = CliRunner().invoke(app, ["eval", "diff", str(tmp_path / "a.jsonl"), str(tmp_path / "run"), "--limit", "2"])
    assert run.exit_code == 0, run.output
    assert "27.8" in run.output and "66.7" in run.output and "8 more gained" in run.output
    assert "Question q5?" in run.output and "Question q7?" not in run.output
    run = CliRunner().invoke(app, ["eval", "diff", str(tmp_path / "a.jsonl"), str(tmp_path / "run"), "--json"])
    lines = [json.loads(line) for line in run.output.splitlines()]
    assert len(lines) == 13 and lines[0]["change"] == "gained" and lines[0]["after"] == "q51.0"
    with pytest.raises(EvalError, match=r"holds no answers\.jsonl"):
        CliRunner().invoke(app, ["eval", "diff", str(tmp_path), str(tmp_path)], catch_exceptions=False)


def test_a_recipe_is_evaluated_without_another_word() -> None:
    for words in (["eval", "none.yaml"], ["eval", "run", "none.yaml"]):
        with pytest.raises(Exception, match=r"none\.yaml"):
            CliRunner().invoke(app, words, catch_exceptions=False)
    assert "diff" in CliRunner().invoke(app, ["eval", "--help"]).output
