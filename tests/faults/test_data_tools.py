"""Faults that the tools people use for instruction data are known for, each shown not to be ours.

D1 sources rot, D2 mixtures that cannot be recovered, D3 rates that are not kept, D4 label bugs, D5 dedup that hangs or
fills the memory, D6 dedup that depends on the workers, D7 failures that become empty rows, D8 rules without counts.
"""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.types import Conversation
from tunesmith.data import Cleaning, HeldOut, Summary, build_to, lint, load_tasks
from tunesmith.data.builds import manifest
from tunesmith.data.builds.paths import train_files
from tunesmith.data.clean import PrintsOnDisk, duplicates, prints
from tunesmith.data.files import file as files
from tunesmith.data.store import conversations
from tunesmith.plan import Plan
from tunesmith.plan.mixture import quotas, rates


def chats(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}) for q, a in rows
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def build(folder: Path, *paths: Path, clean: dict[str, Any] | None = None, workers: int = 1) -> Summary:
    cleaning = Cleaning.model_validate(clean or {})
    return build_to(folder, load_tasks(paths), HeldOut(), seed=1, cleaning=cleaning, workers=workers)


def trained(folder: Path) -> list[Conversation]:
    return list(conversations(*train_files(folder, "instruction")))


def test_d1_sources_are_pinned_and_a_bad_part_is_set_aside(tmp_path: Path) -> None:
    good = chats(tmp_path / "good.jsonl", [(f"question {i}", f"answer {i}") for i in range(20)])
    bad = chats(tmp_path / "bad.jsonl", [(f"other {i}", f"answer {i}") for i in range(5)])
    with bad.open("ab") as file:
        file.write(b'\n{"messages": [{"role": "user"\n\xff\xfe\n{"text": 3}\n')
    summary = build(tmp_path / "out", good, bad)
    assert len(trained(tmp_path / "out")) == 25
    assert sum(summary.ledger["rows read"].aside.values()) == 3
    assert {str(s.source).rpartition("/")[2] for s in summary.ledger.set_aside} == {f"bad.jsonl:{n}" for n in (6, 7, 8)}
    assert manifest.changed(tmp_path / "out") == []
    chats(good, [("question 0", "another answer")])
    assert manifest.changed(tmp_path / "out") == [f"{good}: has changed since the build"]


def test_d2_the_mixture_can_be_recovered(tmp_path: Path) -> None:
    """From what lies beside the rows alone: which files, which settings, which rows, each with its line."""
    source = chats(tmp_path / "chats.jsonl", [(f"question {i}", f"answer {i}") for i in range(30)])
    build(tmp_path / "one", source, clean={"private": True})
    about = manifest.load(tmp_path / "one")
    again = build_to(
        tmp_path / "two",
        load_tasks([Path(name) for name in about["sources"]]),
        HeldOut.from_json(about["held_out"]),
        seed=about["seed"],
        cleaning=Cleaning.model_validate(about["cleaning"]),
    )
    assert manifest.load(tmp_path / "two") == about
    assert again.counts["train"] == 30
    for row in trained(tmp_path / "one"):
        line = source.read_text().splitlines()[row.source.line - 1]
        assert json.loads(line)["messages"][0]["content"] == row.messages[0].content


def test_d3_rates_are_kept_and_an_empty_source_is_an_error() -> None:
    counts = {"a": 7, "b": 50, "c": 943}
    shares = rates("proportional", counts, cap=100)
    drawn = quotas(shares, 1000)
    assert sum(drawn.values()) == 1000
    assert all(abs(drawn[name] - 1000 * shares[name]) < 1 for name in counts)
    lengths = {name: np.full(count, 20) for name, count in counts.items()}
    seen: Counter[str] = Counter()
    plan = Plan(lengths, shares, seed=1, batch_tokens=2000, row_length=64, steps=100)
    for step in range(100):
        seen.update(item.source for row in plan.batch(step) for item in row)
    assert all(abs(seen[name] - 10_000 * shares[name]) <= 1 for name in counts)
    with pytest.raises(DataError, match="A mixture needs rows; none for: d"):
        rates("proportional", {**counts, "d": 0})
    with pytest.raises(DataError, match="nothing to learn from"):
        Plan({**lengths, "d": np.zeros(0)}, {**shares, "d": 0.1}, seed=1, batch_tokens=2000, row_length=64, steps=1)


def test_d4_label_bugs_are_found(tmp_path: Path) -> None:
    instances = [{"id": f"t{i}", "input": f"film {i // 2}", "output": ["2"]} for i in range(40)]
    instances[7]["output"] = ["1"]
    task = {
        "Definition": ['Answer "good" or "bad".'],
        "Positive Examples": [],
        "Negative Examples": [],
        "Instances": instances,
        "Categories": ["Sentiment Analysis"],
    }
    (tmp_path / "task1_x.json").write_text(json.dumps(task))
    found = {finding.check: finding.what for finding in lint(load_tasks(tmp_path / "task1_x.json"))}
    assert "1 input with two outputs" in found["conflict"] and "40 rows have" in found["definition"]
    instances[7]["output"] = ["2"]
    (tmp_path / "task1_x.json").write_text(json.dumps(task))
    assert "one_label" in {finding.check for finding in lint(load_tasks(tmp_path / "task1_x.json"))}


def test_d5_dedup_neither_hangs_nor_fills_the_memory(tmp_path: Path) -> None:
    """A set that is one row again and again, where pairs would be n^2; and prints that are read a band at a time."""
    same = "the same words again and again in every row of a set that somebody has copied too often"
    paths = []
    for part in range(4):
        paths.append(tmp_path / f"{part}")
        prints([f"{same} {i % 3}" for i in range(10_000)]).save(paths[-1])
    disk = PrintsOnDisk(paths)
    tracemalloc.start()
    began = time.monotonic()
    keepers = duplicates(disk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    disk.close()
    assert len(np.unique(keepers)) == 1
    assert time.monotonic() - began < 30
    assert peak < 800 * len(keepers)  # bytes of a row, however long its text


def test_d6_dedup_does_not_depend_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE_ROWS", 50)
    draw = random.Random(2)
    texts = [" ".join("".join(draw.choices("abcdefg", k=4)) for _ in range(30)) for _ in range(150)]
    rows = [(text, "x") for text in texts] + [(f"{text} more", "x") for text in texts]
    draw.shuffle(rows)
    source = chats(tmp_path / "chats.jsonl", rows)
    kept = []
    for workers in (1, 3):
        build(tmp_path / str(workers), source, clean={"near": True}, workers=workers)
        kept.append([row.id for row in trained(tmp_path / str(workers))])
    assert kept[0] == kept[1] and len(kept[0]) == 150
    first = {text: min(i for i, (q, _) in enumerate(rows) if q.startswith(text)) for text in texts}
    lines = sorted(row.source.line - 1 for row in trained(tmp_path / "1"))
    assert lines == sorted(first.values())  # the keeper is the first


def test_d7_a_failure_is_no_empty_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"n": str(n), "y": "yes"}) for n in range(4)))
    (tmp_path / "t.yaml").write_text(
        "task: t\ncluster: c\nlanguage: en\nreader: table\npath: rows.jsonl\ninput: [n]\nanswer: y\ntemplates:\n"
        '  - {id: a, instruction: "What is {{ 6 // (n | int) }}?", target: "{{ y }}"}\n'
    )
    summary = build(tmp_path / "out", tmp_path / "t.yaml")
    rows = trained(tmp_path / "out")
    assert len(rows) == 3 and all(m.content for row in rows for m in row.messages)
    assert summary.ledger["rows in words"].aside == {"the template fails": 1}
    told = json.loads((tmp_path / "out" / "set_aside.instruction.jsonl").read_text())
    assert told["reason"].startswith("the template fails: ZeroDivisionError") and told["source"].endswith(
        "rows.jsonl:1"
    )


def test_d8_each_rule_of_a_paper_has_its_own_count(tmp_path: Path) -> None:
    rows = [
        ("Name three rivers of France.", "Seine, Rhône, Loire."),
        ("Do it", "Done."),
        ("word " * 151, "Done."),
        ("Describe what the image shows.", "A dog."),
        ("Write a program that adds numbers.", "print(1)"),
        ("- name three rivers please", "Seine."),
        ("Name three rivers of Spain.", "The rivers are:"),
        ("Name three rivers of the France.", "Seine."),
    ]
    ledger = build(
        tmp_path / "out", chats(tmp_path / "c.jsonl", rows), clean={"self_instruct": True, "novelty": True}
    ).ledger
    assert ledger["rows in words"].aside == {
        "self_instruct: the instruction is too short": 1,
        "self_instruct: the instruction is too long": 1,
        "self_instruct: the instruction is about what a text model cannot see": 1,
        "self_instruct: the instruction asks for a program": 1,
        "self_instruct: the instruction begins with a mark": 1,
        "self_instruct: the answer ends with a colon": 1,
    }
    assert ledger["training rows"].aside["asks what an earlier row asks, in nearly these words"] == 1
