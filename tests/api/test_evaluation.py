"""Evaluation from Python: the answers of ``tunesmith eval ask``, a metric of one's own, results as a table."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pandas
import polars
import pytest

import tunesmith as ts
from tests.api.conftest import CHATS
from tunesmith.api import evaluation
from tunesmith.cli import main
from tunesmith.evals.metrics import METRICS

BASE = "runs/quickstart/pretrain"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))
    monkeypatch.setattr(METRICS, "_modules", dict(METRICS._modules))
    yield


@pytest.fixture
def found(place: Path) -> ts.Results:
    return ts.evaluate(CHATS[:6], {"one": BASE, "two": ts.load(BASE)}, "runs/asked", max_new_tokens=8)


def test_the_answers_of_the_command_line(place: Path) -> None:
    (place / "suite.yaml").write_text("suite: chats\ntasks: [chats.jsonl]\nrows: 5\nmax_new_tokens: 8\n")
    with pytest.raises(SystemExit) as caught:
        main(["eval", "ask", "suite.yaml", f"one={BASE}", "--out", "runs/cli"])
    assert caught.value.code in (0, None)
    ours = ts.evaluate("suite.yaml", {"one": BASE}, "runs/py")
    assert ours.records == ts.results("runs/cli").records and len(ours.records) == 5
    assert (place / "runs/py/answers.html").is_file() and (place / "runs/py/figures.json").is_file()
    more = ts.evaluate(Path("suite.yaml"), BASE, "runs/more", rows=7)
    assert len(more.records) == 7 and {r.model for r in more.records} == {"pretrain"}


def test_levels_of_a_build(place: Path) -> None:
    data = ts.build("chats.jsonl", "data/chats", seed=1)
    found = ts.evaluate(data, BASE, "runs/asked", max_new_tokens=8)
    expected = {level: len(rows) for level, rows in data.held_out.items()}
    assert {score.level: score.n for score in found.scores()} == expected and "instance" in expected
    some = {"instance": data.held_out["instance"][:2]}
    assert [(s.level, s.n) for s in ts.evaluate(some, BASE, "runs/some", max_new_tokens=8).scores()] == [
        ("instance", 2)
    ]


def test_a_metric_of_ones_own(place: Path) -> None:
    @ts.metric("says_moo")
    def says_moo(answer: ts.Answer, row: ts.Conversation) -> bool:
        return "moo" in answer.text or "moo" in row.answers

    @ts.metric("fails")
    def fails(answer: ts.Answer, row: ts.Conversation) -> float:
        return 1 / 0

    found = ts.evaluate(CHATS[:6], BASE, "runs/asked", metric="says_moo", max_new_tokens=2)
    assert [record.value for record in found.records] == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert [(s.metric, s.value) for s in found.scores()] == [("says_moo", pytest.approx(1 / 3))]
    with pytest.raises(ts.EvalError, match=r"The metric 'fails' failed at the answer .* to row 1: ZeroDivisionError"):
        ts.evaluate(CHATS[:6], BASE, "runs/fails", metric="fails", max_new_tokens=2)
    with pytest.raises(ts.UnknownName, match="Did you mean 'says_moo'"):
        ts.evaluate(CHATS[:6], BASE, "runs/x", metric="say_moo")


def test_two_models_on_the_same_questions(found: ts.Results) -> None:
    (one,) = found.compare("one", "two")
    assert one.difference.value == 0.0 and one.before == one.after and one.before.n == 6
    assert {record.gold for record in found.records} == {("moo",), ("woof",), ("meow",)}


def test_results_as_a_table(found: ts.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = found.table(as_="rows")
    assert [(row["model"], row["n"]) for row in rows] == [("one", 6), ("two", 6)]
    table = found.table()
    assert isinstance(table, polars.DataFrame) and table.to_dicts() == rows
    frame = found.table("answers", as_="pandas")
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 12
    assert list(frame["prompt"][:2]) == [CHATS[0][0]["content"], CHATS[1][0]["content"]]
    assert isinstance(found.table("answers", "polars"), polars.DataFrame)

    def installed(name: str) -> bool:
        return name in there and bool(importlib.util.find_spec(name))

    monkeypatch.setattr(evaluation, "find_spec", installed)
    there = ["pandas"]
    assert isinstance(found.table(), pandas.DataFrame)
    there = []
    assert found.table() == rows
    with pytest.raises(ts.EvalError, match=r"polars is not installed\. Install it: pip install polars"):
        found.table(as_="polars")
    with pytest.raises(ts.UnknownName, match=r"Kind of table 'panda' is not known\. Did you mean 'pandas'"):
        found.table(as_="panda")  # type: ignore[arg-type]
    with pytest.raises(ts.UnknownName, match=r"Table 'score' is not known\. Did you mean 'scores'"):
        found.table("score")  # type: ignore[arg-type]


def test_an_empty_table_is_a_table() -> None:
    none = ts.Results([])
    assert none.table(as_="rows") == [] and none.table(as_="polars").is_empty() and none.table(as_="pandas").empty


def test_what_cannot_be_evaluated(place: Path) -> None:
    with pytest.raises(ts.EvalError, match=r"two models are called 'pretrain'\. Give names"):
        ts.evaluate(CHATS, [BASE, BASE], "runs/x")
    with pytest.raises(ts.EvalError, match="no question to ask"):
        ts.evaluate([], BASE, "runs/x")
    with pytest.raises(ts.EvalError, match="no model is given"):
        ts.evaluate(CHATS, [], "runs/x")
    with pytest.raises(ts.RecipeError, match=r"evaluate\(\): max_tokens: unknown key"):
        ts.evaluate(CHATS, BASE, "runs/x", max_tokens=3)
    with pytest.raises(ts.EvalError, match="no right answer is given"):
        ts.evaluate(["Hi"], BASE, "runs/x")
    with pytest.raises(ts.EvalError, match=r"holds no answers\.jsonl"):
        ts.results(place)
