"""Names of rows: different rows have different ones, in whatever they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.readers.rows import TALK, TOOL
from tests.data.readers.test_every_value import put, read
from tunesmith.core.types import Conversation, Message
from tunesmith.data import HeldOut, task_of
from tunesmith.data.builds.build import build
from tunesmith.data.readers.shape import digest, digest_of

ASKED = [{"role": "user", "content": "1 + 1?"}]
GOOD = {"messages": TALK, "tools": [TOOL]}
OTHERS: list[tuple[tuple[Any, ...], Any]] = [
    (("messages", 2, "reasoning_content"), "Hard."),
    (("messages", 2, "tool_calls", 0, "function", "arguments", "a"), 2),
    (("messages", 2, "weight"), 1),
    (("messages", 3, "name"), "sum"),
    (("messages", 3, "tool_call_id"), "c2"),
    (("tools", 0, "function", "name"), "sum"),
    (("tools",), []),
]


@pytest.mark.parametrize(("at", "value"), OTHERS)
def test_an_id_is_of_all_that_is_learned_from(at: tuple[Any, ...], value: Any) -> None:
    (one,), (two,) = read("messages", {}, GOOD), read("messages", {}, put(GOOD, at, value))
    assert isinstance(one, Conversation) and isinstance(two, Conversation) and one.id != two.id
    (again,) = read("messages", {}, put(GOOD, (), {**GOOD, "comment": "no part of the row"}))
    assert again.id == one.id


def test_the_id_of_plain_messages_is_the_same_as_ever() -> None:
    messages = [Message("user", "a"), Message("assistant", "b")]
    assert digest_of(messages) == digest("user", "a", "", "assistant", "b", "") == digest_of(messages, ())
    assert digest("a\x1f", "b") != digest("a", "\x1fb") != digest("a", "", "b")


def test_a_thumb_up_and_a_thumb_down_are_two_rows() -> None:
    row = {"prompt": "Hi?", "completion": "Yes.", "label": True}
    (up,), (down,) = read("preference", {}, row), read("preference", {}, {**row, "label": False})
    assert up.id != down.id and up.scores == (1.0,) and down.scores == (0.0,)
    ranked = {"prompt": "Hi?", "answers": ["a", "b"], "ranks": [1, 2]}
    (one,), (two,) = read("preference", {}, ranked), read("preference", {}, {**ranked, "ranks": [2, 1]})
    assert one.id != two.id


@pytest.mark.parametrize("clean", ["cleaned", "as it is"])
def test_three_thoughts_are_three_rows_of_a_build(clean: str, tmp_path: Path) -> None:
    """With the default steps of cleaning, and without any."""
    import json

    from tunesmith.data import Cleaning

    said = [{"role": "assistant", "content": "Two."} for _ in range(3)]
    rows = [{"messages": [*ASKED, {**one, "reasoning_content": f"Thought {i}."}]} for i, one in enumerate(said)]
    rows += [{"messages": [*ASKED, said[0]], "tools": [{**TOOL, "n": i}]} for i in range(2)]
    rows += [{"messages": [*ASKED, said[0], *ASKED, {**said[1], "weight": i}]} for i in range(2)]
    rows += rows[:1]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cleaning = Cleaning() if clean == "cleaned" else Cleaning.model_validate({"repeated": False, "unicode": False})
    built = build([task_of(tmp_path / "rows.jsonl")], HeldOut(), seed=1, cleaning=cleaning)
    (train,) = built.train.values()
    assert len(train) == 7, built.ledger.table()
    assert built.ledger["rows in words"].aside == {"is an earlier row again": 1}
