"""Which questions leak, and what that does to figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tunesmith.core.types import Conversation, Message
from tunesmith.data.leaks.item import Item
from tunesmith.evals.compare.summary import standing
from tunesmith.evals.leaked import leaks_into, marked, split, write_leaks
from tunesmith.evals.records import Record

LONG = "Which large river in the north of Italy flows from the Alps to the Adriatic Sea near Venice?"


def asked(id: str, text: str, group: str = "") -> Conversation:
    return Conversation((Message("user", text), Message("assistant", "Po")), id=id, group=group, answers=("Po",))


QUESTIONS = [
    asked("river/1@t", LONG),
    asked("river/2@t", LONG.replace("Italy", "France")),
    asked("other/3@t", "How many legs has a spider, in most countries of the world that we know?", "legs"),
    asked("other/4@t", "What colour is the sky on a clear day in the middle of a warm summer?"),
]


def row(id: str, text: str, group: str = "") -> Item:
    return Item(id, (text,), ("Po",), group)


def test_the_surest_leak_of_each_question() -> None:
    rows = [
        row("web/1", f"Once more: {LONG} Do you know?"),
        row("web/2", LONG),
        row("web/3", "Nothing in common at all with whatever is asked anywhere here, but as long.", "legs"),
    ]
    found = leaks_into(QUESTIONS, rows)
    assert {id: leak.name for id, leak in found.items()} == {
        "river/1@t": "exact",
        "river/2@t": "near",
        "other/3@t": "source",
    }
    assert found["river/1@t"].train == "web/2"


def test_rows_of_the_same_task_share_wordings_by_design() -> None:
    """Another number, another country: that is how tasks are made; the same question is still the same."""
    found = leaks_into(QUESTIONS, [row("river/9@t", LONG.replace("Italy", "Spain")), row("river/8@t", LONG)])
    assert {id: leak.name for id, leak in found.items()} == {"river/1@t": "exact"}


def record(id: str, value: float, level: str = "asked") -> Record:
    return Record(
        id=id, model="m", level=level, format="instruction", shots=0, metric="exact_match", task="t", cluster="",
        template="t/a", language="en", group=id, prompt="?", answer="!", gold=("!",), value=value, finished=True,
    )  # fmt: skip


def test_figures_with_and_without_what_leaks(tmp_path: Path) -> None:
    found = leaks_into(QUESTIONS, [row("web/2", LONG)])
    records = [record("river/1@t#0", 1.0), record("river/2@t", 1.0), record("other/4@t", 0.0), record("other/3@t", 0.0)]
    assert split(records) is None
    known = marked([*records, record("river/1@t", 1.0, "seen"), record("new/1@t", 1.0)], QUESTIONS, found)
    assert [r.leak for r in known] == ["exact", "near", "", "", None, None]
    samples = [replace(record(f"river/{n}@t~{n}", 1.0), sample=n) for n in (1, 2)]
    assert [r.leak for r in marked(samples, QUESTIONS, found)] == ["exact", "near"]
    (line,) = standing(known[:-2], ["m"])
    (cell,) = line.cells
    assert cell.leaked is not None and (cell.leaked.value, cell.leaked.n) == (1.0, 2)
    assert cell.clean is not None and (cell.clean.value, cell.clean.n) == (0.0, 2)
    assert cell.rate.value == 0.5
    write_leaks(tmp_path / "leaks.jsonl", {"m": found})
    lines = [json.loads(line) for line in (tmp_path / "leaks.jsonl").read_text().splitlines()]
    assert [(one["question"], one["kind"], one["train"]) for one in lines] == [
        ("river/1@t", "exact", "web/2"), ("river/2@t", "near", "web/2")
    ]  # fmt: skip
    assert "flows from the Alps" in lines[0]["text"]
