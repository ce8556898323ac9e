"""What a build stage has written, read back.

build/text.jsonl                          {"text": ...}                what a base is pretrained on
build/train.<format>/*.parquet            conversations                what is tuned on
build/held_out.<format>.<shots>.parquet   conversations with "level"   what is asked
build/proof.<format>.json, .parquet       what stands on which side
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import Conversation, Level


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


def texts(build: Path) -> list[str]:
    """The plain texts of a build."""
    return [value["text"] for value in read_lines(build / "text.jsonl")]


def train(build: Path, format: str) -> list[Conversation]:
    """The training conversations in one format."""
    from tunesmith.data.builds.paths import train_files
    from tunesmith.data.store import conversations

    return list(conversations(*_there(build, train_files(build, format), f"train.{format}")))


def held_out(build: Path, format: str, shots: int = 0) -> dict[Level, list[Conversation]]:
    """The held-out conversations in one format, by level."""
    from tunesmith.data.builds.paths import held_out_file, read_held_out

    file = held_out_file(build, format, shots)
    _there(build, [file] if file.exists() else [], file.name)
    return read_held_out(build, format, shots)


def corpus(build: Path) -> Iterator[str]:
    """All that a vocabulary should cover: the texts, and every message of the training conversations."""
    yield from texts(build)
    for conversation in train(build, "instruction"):
        for message in conversation.messages:
            yield message.content


def _there(build: Path, files: list[Path], name: str) -> list[Path]:
    if not files:
        there = ", ".join(sorted(path.name for path in build.glob("[th]*.*")))
        raise DataError(f"The build has no {name}; it has {there}. See `formats` and `shots` of the build stage.")
    return files
