"""The notebook, cell by cell in one namespace, with settings that take seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import ROOT
from tunesmith.evals.metrics import METRICS

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
TINY = {
    "BASE": {
        "build.formats": ["instruction"],
        "build.shots": [0],
        "build.per_level": 4,
        "tokenizer.vocab_size": 600,
        "pretrain.model": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 512,
        },
        "pretrain.train.steps": 2,
    },
    "TUNE": {"steps": 2, "batch_tokens": 1024, "row_length": 512},
    "QUESTIONS": 2,
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))
    monkeypatch.setattr(METRICS, "_modules", dict(METRICS._modules))
    yield


def test_the_notebook_is_clean() -> None:
    assert len(CELLS) == 10
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in CELLS if "outputs" in cell)
    assert len({cell["id"] for cell in CELLS}) == 10


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(CELLS, 1):
        if cell["cell_type"] != "code":
            continue
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert set(TINY) <= set(names)
            names |= TINY
    said = capsys.readouterr().out
    levels = {score.level for score in names["found"].scores()}
    assert levels == {"seen", "wording", "instance", "task", "cluster"}
    assert {score.metric for score in names["loose"].scores()} == {"right_start"}
    assert "rows read: " in said and "cluster   exact_match  " in said
    assert (tmp_path / "runs" / "notebook" / "model" / "config.json").is_file()
