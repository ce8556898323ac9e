"""The inputs and outputs of a build, so that it can be checked and repeated: ``manifest.<format>.json``.

    files      every source and task file, with its size and SHA-256; and every file that was written
    tasks      reader, settings, templates with their files and lines
    settings   seed, what is held out, what is cleaned
    ledger     rows in and out of every step

Nothing in it depends on the day, the machine or the number of workers: the same build has the same manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.core.errors import DataError
from tunesmith.data.files import files_in
from tunesmith.data.tasks.task import Task


def path_of(folder: Path, format: str) -> Path:
    """Where the manifest of a build is."""
    return folder / f"manifest.{format}.json"


def write(folder: Path, format: str, tasks: Sequence[Task], about: Mapping[str, Any], written: Iterable[Path]) -> None:
    """Write the manifest of a build; ``about`` are its settings and books."""
    sources = sorted({path for task in tasks for path in files_of(task)})
    value = {
        "tunesmith": tunesmith.__version__,
        "format": format,
        **about,
        "tasks": {task.id: _task(task) for task in tasks},
        "sources": {str(path): _file(path) for path in sources},
        "written": {path.relative_to(folder).as_posix(): _file(path) for path in sorted(written)},
    }
    path_of(folder, format).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, format: str | None = None) -> dict[str, Any]:
    """The manifest of a build; of its first format, if none is named."""
    there = sorted(folder.glob("manifest.*.json"))
    if format is not None:
        there = [path for path in there if path == path_of(folder, format)]
    if not there:
        what = f"of the format {format!r} " if format else ""
        raise DataError(
            f"{folder} holds no build {what}(no manifest). Make one with: tunesmith data build FILES --out FOLDER"
        )
    # The instructions are what most builds are about.
    path = next((path for path in there if path == path_of(folder, "instruction")), there[0])
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def changed(folder: Path, format: str | None = None) -> list[str]:
    """What is no longer as the manifest says: sources and files of the build, each with what is wrong."""
    value = load(folder, format)
    problems = []
    for base, files in ((Path(), value["sources"]), (folder, value["written"])):
        for name, about in files.items():
            path = base / name
            if not path.is_file():
                problems.append(f"{path}: is gone")
            elif path.stat().st_size != about["bytes"] or _digest(path) != about["sha256"]:
                problems.append(f"{path}: has changed since the build")
    return problems


def files_of(task: Task) -> list[Path]:
    """The files that a task is defined in and reads."""
    paths = [Path(task.source.file)] if task.source.file else []
    paths += [Path(template.source.file) for template in task.templates if template.source.file]
    paths += [value for value in task.settings.values() if isinstance(value, Path)]
    return list(dict.fromkeys(file for path in paths for file in files_in(path)))


def _task(task: Task) -> dict[str, Any]:
    return {
        "cluster": task.cluster,
        "language": task.language,
        "name": task.name,
        "reader": task.reader,
        "metric": task.metric,
        "source": str(task.source),
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in task.settings.items()},
        "templates": {
            template.id: {"source": str(template.source), "messages": [[t.role, t.text] for t in template.messages]}
            for template in task.templates
        },
    }


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
