"""What a build stage has written, read back: conversations and texts as JSON lines.

build/text.jsonl                       {"text": ...}                      what a base is pretrained on
build/train.<format>.jsonl             a conversation a line              what is tuned on
build/held_out.<format>.<shots>.jsonl  the same, with its "level"         what is asked
build/proof.<format>.json              what stands on which side          groups of questions
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Conversation, Level, Message, Source


def write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> int:
    """Write JSON lines; how many there were."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines; a damaged one is told with its line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}: this line is not JSON: {error}") from None
            yield value


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def to_json(conversation: Conversation) -> dict[str, Any]:
    """A conversation as one line of JSON, empty fields left out."""
    # Not asdict, which copies deeply: this is called for every row of a build.
    values = ((field.name, getattr(conversation, field.name)) for field in fields(conversation))
    out = {name: value for name, value in values if value not in ((), "")}
    out["messages"] = [message.as_dict() for message in conversation.messages]
    out["source"] = str(conversation.source)
    return out


def from_json(value: Mapping[str, Any]) -> Conversation:
    """The conversation that ``to_json`` wrote."""
    given: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    source = Source.parse(str(given.pop("source", "")))
    messages = tuple(Message(**{**m, "tool_calls": tuple(m.get("tool_calls", ()))}) for m in given.pop("messages"))
    given.pop("level", None)
    return Conversation(messages=messages, source=source, **given)


def texts(build: Path) -> list[str]:
    """The plain texts of a build."""
    return [value["text"] for value in read_lines(build / "text.jsonl")]


def train_file(build: Path, format: str) -> Path:
    """Where the training conversations of a format lie."""
    return build / f"train.{format}.jsonl"


def held_out_file(build: Path, format: str, shots: int = 0) -> Path:
    """Where the questions of a format lie, with so many answered examples before each."""
    return build / f"held_out.{format}.{shots}.jsonl"


def train(build: Path, format: str) -> list[Conversation]:
    """The training conversations in one format."""
    return [from_json(value) for value in _lines(train_file(build, format))]


def held_out(build: Path, format: str, shots: int = 0) -> dict[Level, list[Conversation]]:
    """The held-out conversations in one format, by level."""
    levels: dict[Level, list[Conversation]] = {}
    for value in _lines(held_out_file(build, format, shots)):
        levels.setdefault(value["level"], []).append(from_json(value))
    return levels


def groups(build: Path, format: str) -> dict[str, str]:
    """By its id, the group of each row: questions of one group are no independent evidence."""
    from tunesmith.data.split import SplitProof

    proof = SplitProof.load(build / f"proof.{format}.json")
    return {row.id: row.group for rows in (proof.train, *proof.held_out.values()) for row in rows}


def corpus(build: Path) -> Iterator[str]:
    """All that a vocabulary should cover: the texts, and every message of the training conversations."""
    yield from texts(build)
    for value in _lines(train_file(build, "instruction")):
        for message in value["messages"]:
            yield message["content"]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.jsonl")))
        raise DataError(f"The build has no {path.name}; it has {there}. See `formats` and `shots` of the build stage.")
    return read_lines(path)
