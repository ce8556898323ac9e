"""What a finished stage has left on disk, and whether it is still as it was written.

    runs/<name>/<stage>/stage.json      written last: the stage's key, what it returned, and every file with its digest
    runs/<name>/<stage>/started.json    written first: a stage that was killed is known by it

A file counts as damaged when its size or its content has changed. Small files are read each time; large ones (weights)
just before something reads them, because at some gigabytes a second that costs less than loading them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xxhash

from tunesmith.core.errors import RecipeError
from tunesmith.core.whole import write_json

DONE = "stage.json"
STARTED = "started.json"
LARGE = 64 * 1024 * 1024
"""Bytes from which on a file is only read when its content is needed."""
_MOST = 64 * 1024 * 1024
"""Bytes of a ``stage.json``; anything longer is not one."""


def digest(value: Any) -> str:
    """A hash of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """A hash of a file's content."""
    found = xxhash.xxh3_128()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from None
    return found.hexdigest()


def written(out: Path) -> dict[str, list[Any]]:
    """Every file of a stage with its size and digest."""
    return {
        str(file.relative_to(out)): [file.stat().st_size, digest_file(file)]
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name not in (DONE, STARTED)
    }


def finish(out: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Write down that a stage is done, with what it has written."""
    whole = {**state, "files": written(out)}
    write_json(out / DONE, {**whole, "check": digest(whole)})
    (out / STARTED).unlink(missing_ok=True)
    return whole


def read_state(out: Path) -> dict[str, Any] | None:
    """What ``stage.json`` says; None where the stage has not finished, or the file is damaged or a link."""
    file = out / DONE
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _MOST:
            return None
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(state, dict) or state.pop("check", None) != digest(state):
        return None
    return state


def started(out: Path) -> str | None:
    """The key of a stage that was begun and has not finished."""
    try:
        return str(json.loads((out / STARTED).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def damaged(out: Path, state: Mapping[str, Any], *, large: bool) -> str | None:
    """The first file that is not as the stage wrote it; ``large`` asks for the large ones too."""
    for name in _changed(out, state["files"], large=large):
        return name
    return None


def check_inputs(folders: Mapping[str, Path], reader: str) -> None:
    """See to it that the finished stages that are about to be read are whole, their large files too."""
    for name, out in folders.items():
        state = read_state(out)
        bad = damaged(out, state, large=True) if state is not None else None
        if bad is not None:
            raise RecipeError(
                f"{reader} reads {out / bad}, whose content has changed since the stage {name} wrote it. "
                f"Make it again with: --again {name}"
            )


def _changed(out: Path, files: Mapping[str, Any], *, large: bool) -> Iterator[str]:
    for name, (size, content) in files.items():
        file = out / name
        if (
            not file.is_file()
            or file.stat().st_size != size
            or ((large or size < LARGE) and digest_file(file) != content)
        ):
            yield name
