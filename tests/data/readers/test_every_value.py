"""Every field of every reader with every type of JSON: a bad row is set aside, and no text is anything but a text."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.data.readers.rows import ROWS
from tunesmith.core.types import Comparison, Conversation, Message, SetAside
from tunesmith.data import READERS, Record, Task
from tunesmith.data.files import Piece
from tunesmith.data.load.examples import placed
from tunesmith.data.store import compared_table, to_table

MISSING = object()
DEEP: Any = "x"
for _ in range(400):
    DEEP = [DEEP]
VALUES: list[Any] = [
    MISSING, None, True, False, 0, 1.5, -1, 10**30, float("nan"), float("inf"), "", " ", "x", "[", "{}", "[1]", "null",
    '{"name": 1}', [], [1], [None], [[]], ["x", "y"], [{}], {}, {"a": 1}, {"role": 1}, {"from": "gpt"},
    {"a": {"b": [{}]}}, DEEP, "z" * 100_000, "\ud800", {"\udc00": 1}, ["\ud800"], "\x00", "\x1f", "{{name}}",
]  # fmt: skip
SMALL = [MISSING, None, 1.5, float("nan"), "", "x", [1], {"a": 1}, "\ud800"]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a row, the row itself first."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*at, key))


def put(row: Any, at: Sequence[Any], value: Any) -> Any:
    """The row with another value in one place, or without what stood there."""
    if not at:
        return None if value is MISSING else value
    row = copy.deepcopy(row)
    here = row
    for key in at[:-1]:
        here = here[key]
    if value is MISSING:
        del here[at[-1]]
    else:
        here[at[-1]] = value
    return row


def check(found: Any, reader: str) -> None:
    """Whether a row is what it says, without asking the code that has read it."""
    assert str(found.source), found
    if isinstance(found, SetAside):
        assert found.reason and found.source.line == 1
        assert "cannot read it: " not in found.reason, f"an error that {reader!r} did not expect: {found.reason}"
        return
    if isinstance(found, Record):
        assert isinstance(found.id, str) and isinstance(found.group, str)
        for value in found.fields.values():
            assert isinstance(value, str) or all(isinstance(one, str) for one in value)
            "".join(value).encode()
        return
    whole = placed(Task("x.en", "c", "en", "x", reader, ()), found)
    if isinstance(whole, Conversation):
        to_table([whole])
        messages: list[Message] = [*whole.messages]
    else:
        assert isinstance(whole, Comparison)
        compared_table([whole])
        messages = [*whole.prompt, *(message for answer in whole.answers for message in answer)]
        assert all(isinstance(score, float) and score == score for score in whole.scores)
    assert messages
    for message in messages:
        assert message.role in ("system", "user", "assistant", "tool")
        assert isinstance(message.content, str)
        for text in (message.reasoning_content, message.tool_call_id, message.name):
            assert text is None or isinstance(text, str)
        assert message.learn is None or isinstance(message.learn, bool)
        for call in message.tool_calls:
            assert isinstance(call["function"]["name"], str) and isinstance(call["function"]["arguments"], dict)
    json.dumps([message.as_dict() for message in messages] + list(whole.tools), allow_nan=False).encode()


def read(reader: str, settings: dict[str, str], row: Any) -> list[Any]:
    of_piece = READERS[reader].of_piece
    assert of_piece is not None
    task = Task("x.en", "c", "en", "x", reader, (), settings=settings)
    return list(of_piece(Piece("jsonl", "rows.jsonl", 1, [(1, json.dumps(row).encode())]), task))


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_field_of_another_type(number: int) -> None:
    every(number, SMALL)


@pytest.mark.full
@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_field_of_every_type(number: int) -> None:
    every(number, VALUES)


def every(number: int, values: Sequence[Any]) -> None:
    reader, settings, row = ROWS[number]
    good = read(reader, settings, row)
    assert good and not any(isinstance(found, SetAside) for found in good), "the row to begin with is whole"
    for at in places(row):
        for value in values:
            for found in read(reader, settings, put(row, at, value)):
                check(found, reader)


def test_no_reader_of_files_is_left_out() -> None:
    of_files = {name for name in READERS if READERS[name].of_piece is not None and READERS[name].kind != "text"}
    assert {reader for reader, _, _ in ROWS} == of_files


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("messages", 2, "reasoning_content"), ["a", "list"]),
        (("messages", 3, "tool_call_id"), 7),
        (("messages", 1, "name"), {"first": "Ann"}),
        (("messages", 2, "tool_calls", 0, "function", "arguments"), [1]),
        (("messages", 2, "tool_calls", 0, "function", "arguments"), {"a": float("nan")}),
        (("tools", 0, "function"), "\ud800"),
        (("tools", 0, "function"), float("nan")),
        (("messages", 2, "content"), 5),
        (("messages", 4, "weight"), "yes"),
    ],
)
def test_what_no_text_can_be_is_set_aside(at: tuple[Any, ...], value: Any) -> None:
    (found,) = read("messages", {}, put(ROWS[0][2], at, value))
    assert isinstance(found, SetAside) and str(found.source) == "rows.jsonl:1"
