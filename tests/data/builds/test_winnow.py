"""Whole builds with each step of cleaning: which rows go, why, and because of which."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data import HeldOut, Summary, build_to, task_of
from tunesmith.data.builds.paths import read_held_out, train_files
from tunesmith.data.clean import Cleaning
from tunesmith.data.leaks.sources import training_items
from tunesmith.data.store import comparisons, conversations, tables_of

FILLER = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


def build(folder: Path, chats: list[tuple[str, str]], held_out: HeldOut | None = None, **clean: Any) -> Summary:
    file = folder / "chats.jsonl"
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in chats]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    cleaning = Cleaning.model_validate(clean)
    return build_to(folder / "out", [task_of(file)], held_out or HeldOut(), seed=1, cleaning=cleaning)


def kept(folder: Path) -> list[str]:
    return [row.prompt[0].content for row in conversations(*train_files(folder / "out", "instruction"))]


def unused(folder: Path) -> list[tuple[str, str, str]]:
    """Line, why, and the line of the row that it is like."""
    found = []
    for table in tables_of(folder / "out" / "unused.instruction.parquet"):
        lines = {row["id"]: row["source"].rpartition(":")[2] for row in table.to_pylist()}
        for row in table.to_pylist():
            found.append((lines[row["id"]], row["why"], row["like"].split("@")[0].rpartition("/")[2]))
    return found


def test_rows_that_a_step_drops_are_kept_beside(tmp_path: Path) -> None:
    summary = build(tmp_path, [("a", "x"), ("b", "y " * 9), ("c", "\u200b"), ("d", "z\r\n")], length={"answer_most": 5})
    assert kept(tmp_path) == ["a", "d"]
    assert [(line, why) for line, why, _ in unused(tmp_path)] == [
        ("2", "length: the answer is too long: 9 words, wanted at most 5"),
        ("3", "empty: the answer is empty"),
    ]
    assert summary.ledger["rows in words"].aside == {
        "length: the answer is too long": 1,
        "empty: the answer is empty": 1,
    }
    assert summary.changed == {"unicode": 3}  # a space at the end of line 2, and lines 3 and 4
    assert [str(s.source).rpartition(":")[2] for s in summary.ledger.set_aside] == ["2", "3"]


def test_repeated_rows(tmp_path: Path) -> None:
    chats = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("a ", "x\n")]
    ledger = build(tmp_path, chats).ledger
    assert kept(tmp_path) == ["a", "a", "b"]
    assert ledger["rows in words"].aside == {"is an earlier row again": 1}
    assert ledger["training rows"].aside == {"repeats an earlier row": 1}
    assert [(line, why) for line, why, _ in unused(tmp_path)] == [
        ("4", "is an earlier row again"),
        ("5", "repeats an earlier row"),
    ]
    build(tmp_path, chats, repeated={"of": "prompt"})
    assert kept(tmp_path) == ["a", "b"]
    build(tmp_path, chats, repeated={"of": "answer"})
    assert [line for line, _, _ in unused(tmp_path)] == ["3", "4", "5"]
    build(tmp_path, chats, repeated=False, unicode=False)
    assert kept(tmp_path) == ["a", "a", "b", "a "]


def test_near_rows_keep_the_first(tmp_path: Path) -> None:
    near = FILLER.replace("sixteen", "seventeen")
    chats = [("other words", "w"), (FILLER, "x"), (near, "y"), (FILLER[::-1], "z")]
    ledger = build(tmp_path, chats, near={"of": "prompt"}).ledger
    assert kept(tmp_path) == ["other words", FILLER, FILLER[::-1]]
    assert ledger["training rows"].aside["nearly repeats an earlier row"] == 1
    (lost,) = unused(tmp_path)
    assert lost[:2] == ("3", "nearly repeats an earlier row")
    build(tmp_path, chats, near={"of": "answer"})
    assert len(kept(tmp_path)) == 4
    build(tmp_path, chats, near={"threshold": 0.95, "of": "prompt"})
    assert len(kept(tmp_path)) == 4


def test_what_a_step_dropped_keeps_nothing_else_out(tmp_path: Path) -> None:
    """The first of three near rows goes for its length; the second is then the first."""
    rows = [(FILLER, "much " * 20), (FILLER, "x"), (FILLER + " more", "x")]
    build(tmp_path, rows, near={"of": "prompt"}, length={"answer_most": 5})
    assert [line for line, _, _ in unused(tmp_path)] == ["1", "3"]


def test_a_near_copy_of_a_question_is_not_trained_on(tmp_path: Path) -> None:
    draw = random.Random(1)
    asked = [" ".join("".join(draw.choices("abcdefgh", k=5)) for _ in range(30)) for _ in range(200)]
    chats = [(q, "x") for q in asked] + [(f"{q} again", "x") for q in asked]
    build(tmp_path, chats, HeldOut(instance_fraction=0.2), near={"of": "prompt"})
    why = {int(line): why for line, why, _ in unused(tmp_path)}
    lines = {int(row.source.line) for rows in read_held_out(tmp_path / "out", "instruction").values() for row in rows}
    trained = {row.source.line for row in conversations(*train_files(tmp_path / "out", "instruction"))}
    held = lines - trained  # the rest are the sample of what was seen
    assert 60 < len(held) < 100
    for first in range(1, 201):
        copy = first + 200
        if first in held:
            assert copy in held or why[copy] == "nearly repeats what is held out"
        elif copy in held:
            assert why[first] == "nearly repeats what is held out"
        else:
            assert first in trained and why[copy] == "nearly repeats an earlier row"


def test_novelty(tmp_path: Path) -> None:
    chats = [("Name three rivers of France", "x"), ("Name three big rivers of France", "y"), ("什么是水", "z")]
    build(tmp_path, [*chats, ("什么是水？", "z")], novelty=True)
    assert [(line, why) for line, why, _ in unused(tmp_path)] == [
        ("2", "asks what an earlier row asks, in nearly these words: ROUGE-L 0.91"),
        ("4", "asks what an earlier row asks, in nearly these words: ROUGE-L 1.00"),
    ]


def test_leaks_are_removed_and_reported(tmp_path: Path) -> None:
    secret = "How many apples has Ann left when she gives half of her twelve apples to Bob and eats one?"
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"question": secret, "answer": "She has 5. #### 5"}))
    build(tmp_path, [("hello", "you"), (f"Solve this. {secret}", "5")], leaks={"sets": [str(exam)]})
    assert kept(tmp_path) == ["hello"]
    ((line, why, _),) = unused(tmp_path)
    assert line == "2" and why.startswith("leaks into an evaluation set: exam: ") and "Ann" in why
    report = json.loads((tmp_path / "out" / "leaks.instruction.json").read_text())
    assert report["rows"] == 2 and report["sets"]["exam"]["items"] == 1


@pytest.mark.parametrize("by", ["k_center", "clusters"])
def test_diverse_takes_one_of_each_kind(tmp_path: Path, by: str) -> None:
    kinds = ["rivers mountains lakes", "sonata quartet violin", "enzyme protein cell", "goal referee striker"]
    chats = [(f"{kinds[i % 4]} number {i}", "x") for i in range(80)]
    summary = build(tmp_path, chats, diverse={"rows": 4, "by": by})
    assert {text.split()[0] for text in kept(tmp_path)} == {"rivers", "sonata", "enzyme", "goal"}
    assert summary.ledger["training rows"].aside == {"not among the 4 chosen for diversity": 76}


def test_seconds_tell_every_step(tmp_path: Path) -> None:
    summary = build(tmp_path, [("a", "x"), ("b", "y")], near=True, quality=True)
    assert set(summary.seconds) == {
        *("unicode", "empty", "quality", "near", "repeated", "read, render and write", "split", "write what is kept"),
    }


def test_progress_is_told_of_every_part(tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int | None]]] = {}
    file = tmp_path / "chats.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": "a"}]} for i in range(9)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"question": "How much is one and one?", "answer": "2 #### 2"}))
    wish = {"near": True, "novelty": True, "diverse": {"rows": 2}, "leaks": {"sets": [str(exam)]}}
    build_to(
        tmp_path / "out",
        [task_of(file)],
        HeldOut(),
        seed=1,
        cleaning=Cleaning.model_validate(wish),
        progress=lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )
    assert list(told) == ["rows read", "near-duplicates", "novelty", "leaks", "diversity", "rows written"]
    assert told["rows read"] == [(9, None)] and told["near-duplicates"] == [(band, 20) for band in range(20)]


def compare(
    folder: Path,
    pairs: list[tuple[str, str, str]],
    chats: Sequence[tuple[str, str]] = (),
    held_out: HeldOut | None = None,
    **clean: Any,
) -> list[tuple[int, str]]:
    """Build pairs, with chats beside them; the lines of the pairs that go, and why."""
    (folder / "pairs.jsonl").write_text(
        "\n".join(json.dumps({"prompt": q, "chosen": a, "rejected": b}) for q, a, b in pairs), encoding="utf-8"
    )
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in chats]
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tasks = [task_of(folder / "pairs.jsonl"), *([task_of(folder / "chats.jsonl")] if chats else [])]
    build_to(folder / "out", tasks, held_out or HeldOut(), seed=1, cleaning=Cleaning.model_validate(clean))
    gone = [
        (int(row["source"].rpartition(":")[2]), row["why"])
        for table in tables_of(folder / "out" / "unused.compared.parquet")
        for row in table.to_pylist()
    ]
    left = list(comparisons(folder / "out" / "compared.train.parquet"))
    assert len(left) + len(gone) == len(pairs) or held_out
    return gone


SECRET = "How many apples has Ann left when she gives half of her twelve apples to Bob and eats one?"


@pytest.mark.parametrize("place", ["prompt", "chosen", "rejected"])
def test_comparisons_leak_by_prompt_and_every_answer(tmp_path: Path, place: str) -> None:
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"question": SECRET, "answer": "She has 5. #### 5"}))
    row = {"prompt": "What is asked?", "chosen": "Good words.", "rejected": "Bad words.", place: SECRET}
    gone = compare(
        tmp_path,
        [("Hello?", "Hi.", "Go."), (row["prompt"], row["chosen"], row["rejected"])],
        [("hello", "you")],
        leaks={"sets": [str(exam)]},
    )
    assert [line for line, _ in gone] == [2] and gone[0][1].startswith("leaks into an evaluation set: exam: exact ")
    report = json.loads((tmp_path / "out" / "leaks.instruction.json").read_text())
    assert report["rows"] == 3
    assert sum(1 for _ in training_items([tmp_path / "out"])) == 2  # the audit of a build reads its comparisons too


def test_near_comparisons_keep_the_first(tmp_path: Path) -> None:
    near = FILLER.replace("one", "zero")
    back = " ".join(reversed(FILLER.split()))
    pairs = [(FILLER, back, "w x y z v " * 4), (near, back, "w x y z v " * 4), (FILLER, "other " * 9, FILLER[::-1])]
    gone = compare(tmp_path, pairs, [(FILLER, "x")], near=True)
    assert gone == [(2, "nearly repeats an earlier row")]
    gone = compare(tmp_path, pairs, [(FILLER, "x")], near={"of": "prompt"})
    assert gone == [(2, "nearly repeats an earlier row"), (3, "nearly repeats an earlier row")]


def test_comparisons_that_nearly_repeat_a_question(tmp_path: Path) -> None:
    draw = random.Random(1)
    asked = [" ".join("".join(draw.choices("abcdefgh", k=5)) for _ in range(30)) for _ in range(40)]
    gone = compare(
        tmp_path,
        [(f"{q} again", "good", "bad") for q in asked],
        [(q, "x") for q in asked],
        HeldOut(instance_fraction=0.5),
        near={"of": "prompt"},
    )
    assert gone and {why for _, why in gone} == {"nearly repeats what is held out"}


def test_novelty_and_diversity_of_comparisons(tmp_path: Path) -> None:
    pairs = [("Name three rivers of France", "a b", "c"), ("Name three big rivers of France", "d", "e")]
    gone = compare(tmp_path, pairs, [("Name three rivers of France", "x")], novelty=True)
    assert gone == [(2, "asks what an earlier row asks, in nearly these words: ROUGE-L 0.91")]
    kinds = ["rivers mountains lakes", "sonata quartet violin", "enzyme protein cell", "goal referee striker"]
    pairs = [(f"{kinds[i % 4]} number {i}", "x", "y") for i in range(40)]
    gone = compare(tmp_path, pairs, diverse={"rows": 4})
    assert len(gone) == 36
    left = comparisons(tmp_path / "out" / "compared.train.parquet")
    assert {row.prompt[0].content.split()[0] for row in left} == {"rivers", "sonata", "enzyme", "goal"}


def test_a_comparison_repeats_comparisons_only(tmp_path: Path) -> None:
    """A prompt may be trained on by imitation and by preference."""
    gone = compare(
        tmp_path, [("a", "x", "y"), ("a", "z", "y"), ("b", "x", "y")], [("a", "x")], repeated={"of": "prompt"}
    )
    assert gone == [(2, "repeats an earlier row")]
