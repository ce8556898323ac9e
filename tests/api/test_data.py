"""Reading and building from Python gives what the command line gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tunesmith as ts
from tests.api.conftest import CHATS
from tunesmith.cli import main


def test_read_tells_what_cannot_be_used(place: Path) -> None:
    with (place / "chats.jsonl").open("a") as file:
        file.write('\n{"messages": [{"role": "user", "content": 7}]}')
    found = ts.read("chats.jsonl")
    assert len(found.conversations["chats.en"]) == len(CHATS) == found.rows - 1
    (aside,) = found.set_aside
    assert aside.source.line == len(CHATS) + 1
    (task,) = ts.tasks(Path("chats.jsonl"))
    assert ts.tasks([task, task]) == [task, task]
    assert ts.read(task).conversations == found.conversations


def test_a_build_is_that_of_the_command_line(place: Path) -> None:
    data = ts.build("chats.jsonl", "data/py", seed=3, held_out=ts.HeldOut(instance_fraction=0.2))
    (place / "held_out.yaml").write_text("instances: {fraction: 0.2}\n")
    command = "data build chats.jsonl -o data/cli --held-out held_out.yaml --seed 3 --workers 1"
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code in (0, None)
    other = ts.Data.open("data/cli")
    assert data.train == other.train and 0 < len(data.train) < len(CHATS)
    assert data.held_out == other.held_out and set(data.held_out) == {"seen", "instance"}
    assert {row.id for row in data.train}.isdisjoint({row.id for row in data.held_out["instance"]})
    assert data.ledger["rows read"].rows_in == len(CHATS)
    assert ts.Data.open(str(data.folder)) == data
    assert (data.folder / "card.instruction.html").is_file()
    by_file = ts.build(["chats.jsonl"], "data/file", seed=3, held_out="held_out.yaml")
    assert by_file.train == data.train


def test_settings_are_those_of_a_recipe(place: Path) -> None:
    data = ts.build("chats.jsonl", "data/short", clean={"length": {"answer_most": 3}}, workers=2)
    assert data.ledger.unused() == {}
    data = ts.build("chats.jsonl", "data/few", per_level=2)
    assert len(data.held_out["seen"]) == 2
    with pytest.raises(ts.RecipeError, match=r"^build\(\): per_levle: unknown key; did you mean 'per_level'\?$"):
        ts.build("chats.jsonl", "data/x", per_levle=2)
    with pytest.raises(ts.RecipeError, match=r"build\(\):\nper_level: .*\nclean.nea: unknown key"):
        ts.build("chats.jsonl", "data/x", per_level=0, clean={"nea": True})
    with pytest.raises(ts.RecipeError, match="'text' is a setting of a recipe's build stage alone"):
        ts.build("chats.jsonl", "data/x", text=["a.txt"])
    with pytest.raises(ts.DataError, match="holds no build"):
        ts.Data.open(place)


def test_a_reader_of_ones_own(place: Path) -> None:
    from tunesmith.data.tasks.reader import READERS

    (place / "pairs.jsonl").write_text("\n".join(json.dumps({"ask_me": f"{n}?", "tell_me": "yes"}) for n in range(9)))

    @ts.row_reader("ask_tell", sign=ts.has("ask_me", "tell_me"))
    def ask_tell(row: dict[str, str], task: ts.Task) -> object:
        messages = (ts.Message("user", row["ask_me"]), ts.Message("assistant", row["tell_me"]))
        yield ts.Conversation(messages, id=row["ask_me"])

    try:
        found = ts.read("pairs.jsonl").conversations["pairs.en"]
        assert [row.messages[0].content for row in found] == [f"{n}?" for n in range(9)]
    finally:
        del READERS._items["ask_tell"]
