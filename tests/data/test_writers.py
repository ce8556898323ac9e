"""What each writer writes, the reader of that form reads again; and what a form cannot hold is named."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.core.types import Conversation, Message, SetAside
from tunesmith.data import READERS, detect, task_of
from tunesmith.data.writers import IDS, MARKS, NAMES, THOUGHTS, WRITERS, Line, written

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"a": {"type": "integer"}}}}
TEXTS = [
    "Hi",
    "Grüße\n\n  zwei ",
    "你好，世界",
    "😀 \u2028 \x1f",
    "{{x}} <image> in the middle",
    '"quoted", [1]',
    "  led by spaces",
    "a\n\nb",
]


def call(draw: random.Random, id: str | None) -> dict[str, object]:
    arguments = draw.choice([{}, {"a": 1, "b": [2, None]}, {"q": "你好"}])
    clean = {"type": "function", "function": {"name": draw.choice(["add", "find it"]), "arguments": arguments}}
    return {"id": id, **clean} if id else clean


def talk(draw: random.Random) -> Conversation:
    """A conversation of any kind: with a system message, several turns, tools, thoughts and marks, or without."""
    tools, thoughts, marks, names = (draw.random() < 0.4 for _ in range(4))
    messages = [Message("system", draw.choice(TEXTS))] if draw.random() < 0.5 else []
    for turn in range(draw.randint(1, 3)):
        messages.append(Message("user", draw.choice(TEXTS), name="Ann" if names else None))
        if tools and draw.random() < 0.6:
            ids = [f"c{turn}{i}" if draw.random() < 0.7 else None for i in range(draw.randint(1, 2))]
            speech = draw.choice(["", "", "I look."])
            messages.append(Message("assistant", speech, tool_calls=tuple(call(draw, id) for id in ids)))
            messages += [Message("tool", draw.choice(["3", ""]), tool_call_id=id) for id in ids]
        thought = draw.choice([None, "", "so"]) if thoughts else None
        learn = draw.choice([True, False]) if marks else None
        messages.append(Message("assistant", draw.choice(TEXTS), reasoning_content=thought, learn=learn))
    if marks:
        messages = [replace(m, learn=bool(m.learn)) if m.role == "assistant" else m for m in messages]
    return Conversation(tuple(messages), tools=(TOOL,) if tools else ())


def without(row: Conversation, lost: tuple[str, ...]) -> Conversation:
    """The row without what was lost."""

    def bare(message: Message) -> Message:
        if THOUGHTS in lost:
            message = replace(message, reasoning_content=None)
        if MARKS in lost:
            message = replace(message, learn=None)
        if IDS in lost:
            calls = tuple({k: v for k, v in one.items() if k != "id"} for one in message.tool_calls)
            message = replace(message, tool_call_id=None, tool_calls=calls)
        if NAMES in lost:
            message = replace(message, name=None)
        return message

    return replace(row, messages=tuple(map(bare, row.messages)))


def back(line: Line, name: str, folder: Path, end: str) -> Conversation:
    """A line as the reader of its form reads it."""
    path = folder / f"rows.{end}"
    if end == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([json.loads(line.text)]), path)
    else:
        path.write_text(line.text if end == "jsonl" else json.dumps([json.loads(line.text)]), encoding="utf-8")
    found = detect(path)
    assert found.reader == name
    (row,) = READERS[name].read(task_of(path))
    assert isinstance(row, Conversation), row
    return row


def lines(name: str, seeds: Iterator[int] | range) -> Iterator[tuple[Conversation, Line]]:
    for seed in seeds:
        row = talk(random.Random(seed))
        (line,) = written([row], name)
        if isinstance(line, Line):
            yield row, line
        else:
            assert "cannot hold" in line.reason


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, range(25))


@pytest.mark.full
@pytest.mark.parametrize("name", WRITERS)
def test_much_that_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, range(25, 1500))


def check(name: str, folder: Path, seeds: range) -> None:
    compared = 0
    for row, line in lines(name, seeds):
        wanted = without(row, line.lost)
        for end in ("jsonl", "json"):
            found = back(line, name, folder, end)
            assert [plain(m) for m in found.messages] == [plain(m) for m in wanted.messages]
            assert found.tools == row.tools
        compared += 1
    assert compared > len(seeds) / 3


def plain(message: Message) -> Message:
    """A message as far as it differs in anything: an empty thought is none, and no mark is no wish to learn."""
    return replace(message, reasoning_content=message.reasoning_content or None)


def test_sharegpt_as_parquet(tmp_path: Path) -> None:
    """Columns of Parquet give every message the fields of all others, as nulls."""
    for row, line in lines("sharegpt", range(12)):
        found = back(line, "sharegpt", tmp_path, "parquet")
        wanted = without(row, line.lost)
        assert [(m.role, m.content, m.tool_calls) for m in found.messages] == [
            (m.role, m.content, m.tool_calls) for m in wanted.messages
        ]


@pytest.mark.parametrize(
    ("change", "losses"),
    [
        ({"reasoning_content": "so"}, {"messages": (), "sharegpt": (THOUGHTS,), "alpaca": (THOUGHTS,)}),
        ({"learn": True}, {"messages": (), "sharegpt": (MARKS,), "alpaca": (MARKS,)}),
        ({"name": "Bo"}, {"messages": (), "sharegpt": (NAMES,), "alpaca": (NAMES,)}),
    ],
)
def test_what_a_form_cannot_hold_is_named(change: dict[str, object], losses: dict[str, tuple[str, ...]]) -> None:
    row = Conversation((Message("user", "Hi"), replace(Message("assistant", "Yes."), **change)))  # type: ignore[arg-type]
    assert {name: next(written([row], name)) for name in WRITERS}.keys() == losses.keys()
    for name, lost in losses.items():
        (line,) = written([row], name)
        assert isinstance(line, Line) and line.lost == lost


def test_a_row_that_makes_no_sense_in_a_form_is_set_aside() -> None:
    one = {"type": "function", "function": {"name": "add", "arguments": {}}}
    row = Conversation(
        (
            Message("user", "1+2?"),
            Message("assistant", "I add.", tool_calls=(one,)),
            Message("tool", "3"),
            Message("assistant", "3"),
        ),
        id="r",
        tools=(TOOL,),
    )
    for name, reason in (
        ("alpaca", "it calls tools, which Alpaca cannot hold"),
        ("sharegpt", "a message both speaks and calls tools, which ShareGPT cannot hold"),
    ):
        (aside,) = written([row], name)
        assert isinstance(aside, SetAside) and (aside.row, aside.reason) == ("r", reason)
