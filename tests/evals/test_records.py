"""Records on disk, their rates, comparisons and the spread over wordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import EvalError
from tunesmith.evals.records import Record, compare, over_wordings, read_records, scores, write_records


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
    assert got.difference.p == pytest.approx(2 / 2**24)
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
