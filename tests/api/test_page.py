"""docs/python.md, done as it is written: its code in the order of the page, its plug-in, its recipe, its commands."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.test_docs import ROOT, blocks
from tunesmith import cli
from tunesmith.core import plugins
from tunesmith.data.tasks.reader import READERS
from tunesmith.evals.metrics import METRICS
from tunesmith.train.objectives import OBJECTIVES

PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry in (METRICS, READERS, OBJECTIVES):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
        monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    monkeypatch.setattr(plugins, "_rooms", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("tunesmith_plugin_"):
            del sys.modules[name]


def test_the_page_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(PAGE, "python")
    files = {found[1]: block for block in code if (found := re.match(r"# (\w+\.py)\n", block))}
    assert list(files) == ["tickets_plugin.py"]
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    (recipe,) = blocks(PAGE, "yaml")
    (place / "tickets.yaml").write_text(recipe, encoding="utf-8")
    rows = [{"number": n, "question": f"Where is parcel {n}?", "reply_of_us": "On its way."} for n in range(20)]
    (place / "tickets.jsonl").write_text("\n".join(map(json.dumps, rows)))

    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(code, 1):
        if block not in files.values():
            exec(compile(block, f"python.md, block {number}", "exec"), names)
    assert names["data"].train and set(names["data"].held_out) == {"seen", "instance"}
    assert {score.model for score in names["results"].scores()} == {"base", "tuned"}
    assert [stage.id for stage in names["ran"].stages] == ["build"]
    said = capsys.readouterr().out
    assert "rows read: 30 rows" in said and "fit(): train.epoch: unknown key; did you mean 'epochs'?" in said

    (shell,) = blocks(PAGE, "sh")
    for line in shell.splitlines():
        with pytest.raises(SystemExit) as caught:
            cli.main(shlex.split(line.partition("  #")[0])[1:])
        assert caught.value.code in (0, None), capsys.readouterr().err
    assert "reader tickets" in capsys.readouterr().out


def test_every_public_function_and_class_to_build_on_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    there = set(re.findall(r"\bts\.(\w+)", text))
    assert there <= set(ts.__all__)
    functions = {name for name in ts.__all__ if name.islower() and not name.startswith("_")}
    assert functions - there == {"tasks"}
