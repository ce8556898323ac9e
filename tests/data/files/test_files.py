"""Files of every kind, whole and broken: good rows are kept, each bad one is set aside with place and reason."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside
from tunesmith.data.files import Row, file, pieces, rows, stream
from tunesmith.data.files import json as json_file
from tunesmith.data.files.saved import hub_name

ROWS = [{"n": i, "text": f'row {i} ] }} " \\ 中文', "list": [{"a": [i]}]} for i in range(200)]


def good(path: Path) -> list[Any]:
    return [row.value for row in rows(path) if isinstance(row, Row)]


def bad(path: Path) -> list[tuple[str, str]]:
    return [(str(row.source).partition(path.name)[2], row.reason) for row in rows(path) if isinstance(row, SetAside)]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


@pytest.mark.parametrize("end", PACKED)
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("window", [64, 1 << 18])
def test_json_is_read_as_a_stream(
    end: str, indent: int | None, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "_READ", window)
    path = tmp_path / f"rows.json{end}"
    path.write_bytes(PACKED[end](json.dumps(ROWS, ensure_ascii=False, indent=indent).encode()))
    assert good(path) == ROWS and bad(path) == []
    assert [str(r.source).partition("#")[2] for r in rows(path)] == [str(i + 1) for i in range(200)]
    one = tmp_path / f"one.json{end}"
    one.write_bytes(PACKED[end](json.dumps({"rows": ROWS}, indent=indent).encode()))
    assert good(one) == [{"rows": ROWS}]
    lines = tmp_path / f"lines.json{end}"
    lines.write_bytes(PACKED[end]("\n".join(json.dumps(row) for row in ROWS).encode()))
    assert good(lines) == ROWS


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.replace('"text": "', '"text": "\x00', 1), "is not JSON: Invalid control character"),
        (lambda row: row.replace('"text": ', "", 1), "is not JSON: "),
        (lambda row: row.replace("5,", "5 6,", 1), "is not JSON: "),
        (lambda row: row.replace('"row', "row", 1), "is not JSON: "),
    ],
)
def test_a_broken_row_of_json_costs_itself_only(
    indent: int | None, change: Callable[[str], str], reason: str, tmp_path: Path
) -> None:
    texts = [json.dumps(row, indent=indent) for row in ROWS]
    texts[5] = change(texts[5])
    assert texts[5] != json.dumps(ROWS[5], indent=indent)
    inside = ",\n".join(text.replace("\n", "\n ") for text in texts) if indent else ", ".join(texts)
    path = tmp_path / "rows.json"
    path.write_text(f"[\n {inside}\n]" if indent else f"[{inside}]")
    assert good(path) == ROWS[:5] + ROWS[6:]
    ((place, why),) = bad(path)
    size = len(texts[5]) if not indent else len(texts[5].replace("\n", "\n "))
    assert place == "#6" and why.startswith(reason)
    assert why.endswith(f"; {size + 2} characters were passed over to the next row")


def test_the_end_of_a_json_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    whole = json.dumps(ROWS[:3])
    for text, kept, reason in [
        (whole[:-1], 3, "the file ends before the array does"),
        (whole[:-9], 2, "is not JSON: "),
        (whole + " junk", 3, "stands after the end of the array"),
        ("[]", 0, ""),
        ("", 0, ""),
    ]:
        path.write_text(text)
        assert len(good(path)) == kept, text
        assert [why[: len(reason)] for _, why in bad(path)] == ([reason] if reason else []), text
    path.write_bytes(gzip.compress(json.dumps(ROWS * 300).encode())[:-2000])
    packed = path.rename(tmp_path / "rows.json.gz")
    assert len(good(packed)) > 10_000
    assert any("before the end-of-stream marker" in why for _, why in bad(packed))


def test_bytes_that_are_not_utf8_cost_their_row(tmp_path: Path) -> None:
    texts = [json.dumps(row).encode() for row in ROWS]
    texts[7] = texts[7].replace(b"row", b"r\xffw")
    for name, content in [("a.json", b"[" + b",".join(texts) + b"]"), ("a.jsonl", b"\n".join(texts))]:
        (tmp_path / name).write_bytes(content)
        assert good(tmp_path / name) == ROWS[:7] + ROWS[8:]
        ((place, why),) = bad(tmp_path / name)
        assert place in ("#8", ":8") and why.startswith("is not UTF-8: byte ") and "0xff" in why


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt"])
def test_a_row_of_200_megabytes_is_never_held(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 200 << 20
    monkeypatch.setattr(stream, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(json_file, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr("tunesmith.data.files.csv.LONGEST_LINE", 1 << 20)
    row, head, join, tail = {
        "a.json": ('{"x": "%s"}', "[", ",\n", "]"),
        "a.jsonl": ('{"x": "%s"}', "", "\n", "\n"),
        "a.csv": ("%s", "x\n", "\n", "\n"),
        "a.txt": ("%s", "", "\n", "\n"),
    }[name]
    before, after = row.split("%s")
    with (tmp_path / name).open("w") as out:
        out.write(head + row.replace("%s", "one") + join + before)
        for _ in range(size >> 20):
            out.write("a" * (1 << 20))
        out.write(after + join + row.replace("%s", "three") + tail)
    tracemalloc.start()
    kept, aside = [], []
    for found in rows(tmp_path / name):
        (kept if isinstance(found, Row) else aside).append(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == 2 and len(aside) == 1 and peak < 40 << 20
    assert "more than 1,048,576" in aside[0].reason or "more than 2,097,152" in aside[0].reason


def test_nested_junk_and_wrong_types(tmp_path: Path) -> None:
    lines = ["[" * 100_000, '"just a text"', "12", "null", '{"a": 1}', "NaN", "{'a': 1}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert [str(value) for value in good(tmp_path / "a.jsonl")] == ["just a text", "12", "None", "{'a': 1}", "nan"]
    assert [place for place, _ in bad(tmp_path / "a.jsonl")] == [":1", ":7"]


def test_parquet_arrow_and_saved_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(ROWS[:50])
    made.to_parquet(tmp_path / "rows.parquet", batch_size=20)
    assert good(tmp_path / "rows.parquet") == ROWS[:50]
    made.save_to_disk(tmp_path / "saved", num_shards=3)
    assert good(tmp_path / "saved") == ROWS[:50]
    split = datasets.DatasetDict({"train": made, "test": made.select(range(3))})
    split.save_to_disk(tmp_path / "both")
    assert good(tmp_path / "both") == ROWS[:50] + ROWS[:3]
    # As the hub holds it: Parquet files, and a card that says which is which split.
    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    made.to_parquet(hub / "data/train-00000-of-00001.parquet")
    made.select(range(3)).to_parquet(hub / "data/test-00000-of-00001.parquet")
    found = list(rows(f"hub:{hub}?split=test", "hub"))
    assert [row.value for row in found if isinstance(row, Row)] == ROWS[:3]
    with pytest.raises(DataError, match=r"hub:.*\?split=tset: .*split"):
        list(rows(f"hub:{hub}?split=tset", "hub"))
    with pytest.raises(DataError, match="did you mean 'split'"):
        hub_name("hub:a/b?spilt=test")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "rows.parquet").read_bytes()[:-40])
    assert bad(tmp_path / "cut.parquet")[0][1].startswith("is not Parquet: ")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no data set that `save_to_disk` wrote"):
        list(rows(tmp_path / "empty"))


def test_pieces_are_the_same_at_every_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PIECE_ROWS", 64)
    for name, text in [("a.jsonl", "\n".join(map(json.dumps, ROWS))), ("a.json", json.dumps(ROWS))]:
        path = tmp_path / name
        path.write_text(text)
        parts = list(pieces(path))
        assert [p.first for p in parts] == [1, 65, 129, 193] and parts == list(pieces(path))
        assert [r.value for p in parts for r in p.rows() if isinstance(r, Row)] == ROWS


def test_a_kind_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"end in '\.jsnl' are not known; did you mean '\.jsonl'"):
        list(rows(tmp_path / "a.jsnl"))


def test_what_has_no_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("endless.json", "pipe.jsonl"):
        with pytest.raises(DataError, match="is a device or a pipe; write its content to a file first"):
            list(rows(tmp_path / name))
