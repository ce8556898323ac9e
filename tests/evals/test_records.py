"""Records on disk, their rates, comparisons and the spread over wordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import EvalError
from tunesmith.evals.records import (
    Record,
    compare,
    over_wordings,
    rate,
    read_records,
    scores,
    strict,
    write_records,
)


def record(i: int, model: str, value: float, level: str = "cluster", template: str = "a", **more: Any) -> Record:
    values: dict[str, Any] = {
        "id": f"t.en/{i}@{template}",
        "model": model,
        "level": level,
        "format": "instruction",
        "shots": 0,
        "metric": "exact_match",
        "task": "t.en",
        "cluster": "c",
        "template": template,
        "language": "en",
        "group": f"t/{i}",
        "prompt": "?",
        "answer": "!",
        "gold": ("!",),
        "value": value,
        "finished": True,
    }
    return Record(**{**values, **more})


def test_scores_are_one_for_each_model_level_format_shots_metric() -> None:
    records = [record(i, m, float(i % 4 > 0)) for m in ("base", "tuned") for i in range(40)]
    records += [record(i, "tuned", 1.0, level="seen") for i in range(10)]
    records += [record(i, "tuned", 1.0, shots=3) for i in range(10)]
    got = scores(records)
    assert [(s.model, s.level, s.shots, s.value, s.n) for s in got] == [
        ("base", "cluster", 0, 0.75, 40),
        ("tuned", "seen", 0, 1.0, 10),
        ("tuned", "cluster", 0, 0.75, 40),
        ("tuned", "cluster", 3, 1.0, 10),
    ]
    assert 0.5 < got[0].low < 0.75 < got[0].high < 0.9


def test_comparison_pairs_by_id_whatever_the_order() -> None:
    base = [record(i, "base", 0.0) for i in range(30)]
    tuned = [record(i, "tuned", float(i < 24)) for i in reversed(range(30))]
    (got,) = compare([*base, *tuned], "base", "tuned")
    assert (got.before.value, got.after.value, got.difference.value) == (0.0, 0.8, 0.8)
    assert (got.difference.better, got.difference.worse) == (24, 0)
    assert got.difference.p < 1e-4 and got.difference.low > 0.5
    with pytest.raises(EvalError, match="not asked the same questions"):
        compare([*base, *tuned[:-1]], "base", "tuned")


def test_spread_over_wordings() -> None:
    records = [
        record(i, "m", float(i < right), template=t)
        for t, right in zip("abcde", (0, 5, 6, 8, 10), strict=True)
        for i in range(10)
    ]
    got = over_wordings(records)
    assert (got.lower, got.median, got.upper, got.wordings) == (0.5, 0.6, 0.8, 5)


def test_records_survive_the_disk(tmp_path: Path) -> None:
    records = [record(i, "m", 1.0, prompt="首都？\n", gold=("a", "b")) for i in range(3)]
    write_records(tmp_path / "r.jsonl", records)
    assert read_records(tmp_path / "r.jsonl") == records
    (tmp_path / "r.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(EvalError, match=r"r\.jsonl:1: not a record"):
        read_records(tmp_path / "r.jsonl")


GOOD = {
    "id": "a@t/x", "model": "m", "level": "asked", "format": "instruction", "shots": 0, "metric": "exact_match",
    "task": "t", "cluster": "c", "template": "t/x", "language": "en", "group": "g", "prompt": "?", "answer": "!",
    "gold": ["!"], "value": 1.0, "finished": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({**GOOD, "value": float("nan")}, "NaN is no number"),
        ({**GOOD, "value": float("inf")}, "Infinity is no number"),
        ({**GOOD, "value": 1e308}, r"value is 1e\+308; no metric gives so much"),
        ({**GOOD, "value": "1"}, 'value is "1"; wanted int or float'),
        ({**GOOD, "value": True}, "value is true; wanted int or float"),
        ({**GOOD, "prompt": None}, "prompt is null; wanted str"),
        ({**GOOD, "answer": ["a"]}, "answer is .*; wanted str"),
        ({**GOOD, "gold": "abc"}, 'gold is "abc"; wanted a list of str'),
        ({**GOOD, "gold": [1]}, "gold is .*; wanted a list of str"),
        ({**GOOD, "likely": ["x"]}, "likely is .*; wanted a list of float"),
        ({**GOOD, "shots": 1.5}, "shots is 1.5; wanted int"),
        ({**GOOD, "finished": 1}, "finished is 1; wanted bool"),
        ({**GOOD, "leak": 3}, "leak is 3; wanted str or NoneType"),
        ({**GOOD, "more": "x"}, "unexpected keyword argument 'more'"),
        ({"id": "a"}, "missing 15 required"),
        ([], "wanted an object"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: object, says: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(EvalError, match=f"answers.jsonl:2: .*{says}"):
        read_records(file)


def test_deep_nesting_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[" * 100_000)
    with pytest.raises(EvalError, match=r"a\.jsonl:1"):
        read_records(tmp_path / "a.jsonl")


def test_what_is_written_is_strict_json(tmp_path: Path) -> None:
    cannot = replace(record(1, "m", 1.0), options=("x", "y"), likely=(-1.0, float("-inf")))
    write_records(tmp_path / "a.jsonl", [cannot])
    text = (tmp_path / "a.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["likely"] == [-1.0, None]
    assert read_records(tmp_path / "a.jsonl") == [cannot]
    (tmp_path / "old.jsonl").write_text(text.replace("null]", "-Infinity]"))
    assert read_records(tmp_path / "old.jsonl") == [cannot], "as earlier versions wrote it"
    with pytest.raises(EvalError, match="exact_match gave nan, which is no number"):
        write_records(tmp_path / "b.jsonl", [replace(cannot, value=float("nan"))])
    assert json.loads(strict({"a": [float("nan"), (1, float("inf"))]})) == {"a": [None, [1, None]]}


def test_values_that_are_no_shares_have_intervals_without_limits() -> None:
    found = rate([record(i, "m", 20.0 + i) for i in range(12)])
    assert found.low < 25.5 < found.high and found.high > 27
    assert all(rate([record(i, "m", v) for i in range(4)]).n == 4 for v in (float("nan"), 1e308))
