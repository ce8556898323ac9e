"""Rows written and read again, by us and by others; and in the files of other trainers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.core.types import Comparison, Conversation, Message, Source
from tunesmith.data.store import comparisons, conversations, write, write_comparisons

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2, None]}}}
TOOL = {"name": "add", "parameters": {"a": {"type": "integer"}}}
ROWS = [
    Conversation((Message("user", "hi"), Message("assistant", "ho", learn=True)), id="1", source=Source("f", 3)),
    Conversation(
        (
            Message("system", "be brief"),
            Message("user", "1+2?"),
            Message("assistant", tool_calls=(CALL,)),
            Message("tool", "3", tool_call_id="x", name="add"),
            Message("assistant", "三", reasoning_content="so"),
        ),
        id="2",
        task="t",
        cluster="c",
        template="t/x",
        answers=("三", "3"),
        options=("2", "三"),
        tools=(TOOL,),
        metric="m",
        language="zh",
        group="g",
        licence="MIT",
        tags=("a", "b"),
        source=Source("f.parquet", item=7),
    ),
    Conversation(
        (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d")), id="3"
    ),
]
JUDGED = [
    Comparison(
        (Message("user", "q"),), ((Message("assistant", "a"),), (Message("assistant", "b"),)), (1.0, 0.0), id="1"
    ),
    Comparison((Message("user", "p"),), ((Message("assistant", "c"),),), (0.0,), id="2", group="g", tools=(TOOL,)),
]


def test_what_is_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.store.GROUP_ROWS", 2)
    assert write(tmp_path / "a.parquet", ROWS) == 3
    assert list(conversations(tmp_path / "a.parquet")) == ROWS
    assert list(conversations(tmp_path / "a.parquet", tmp_path / "a.parquet")) == ROWS * 2
    assert write(tmp_path / "none.parquet", []) == 0 and list(conversations(tmp_path / "none.parquet")) == []
    assert write_comparisons(tmp_path / "b.parquet", JUDGED) == 2
    assert list(comparisons(tmp_path / "b.parquet")) == JUDGED
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet", "none.parquet"]


def test_others_open_it(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS)
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), split="train", cache_dir=tmp_path)
    assert rows[1]["messages"][1]["content"] == "1+2?" and json.loads(rows[1]["tools"]) == [TOOL]
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(tmp_path / "a.parquet")["answers"].to_list()[1] == ["三", "3"]
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select messages[1].content from '{tmp_path}/a.parquet' order by id").fetchall()
    assert found == [("hi",), ("be brief",), ("a",)]
