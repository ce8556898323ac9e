"""Files and folders that are written whole or not at all: a reader never sees half of one, whatever ends the process.

with whole(path) as part: part.write_bytes(...)
with whole_folder(folder) as part: (part / "a.json").write_text(...)
write_whole(path, text);  write_json(path, value)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to. It gets its name when the block ends well, and is deleted when it fails."""
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        yield part
        _on_disk(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder`` to write to. It takes its place when the block ends well; else what was there
    stays, and the new one is deleted."""
    part = folder.with_name(f".{folder.name}.part{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def write_whole(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a text file."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", errors=errors)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _on_disk(path: Path) -> None:
    """Wait until a file is on disk, so that it is there after a power cut too."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
