"""Checkpoints that are whole or are not there.

A checkpoint is written to a hidden folder, flushed to disk and renamed; ``latest`` is a link that is replaced in
one step. It carries a hash of its bytes, so a damaged one is noticed, named, and the one before it is used.

    checkpoints/step-00000200/{state.safetensors, checkpoint.json}
    checkpoints/latest -> step-00000200
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from tunesmith.errors import CheckpointError

KEEP = 2
"""Checkpoints kept: the newest, and one to fall back on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was found on disk: the state after ``step`` optimizer steps."""

    step: int
    state: Mapping[str, Tensor]
    extra: Mapping[str, Any]
    folder: Path


def save(folder: Path, step: int, state: Mapping[str, Tensor], extra: Mapping[str, Any]) -> Path:
    """Write the checkpoint of ``step`` under ``folder`` and let ``latest`` point to it."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:08d}"
    part = folder / f".part-{step:08d}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    data = part / "state.safetensors"
    safetensors.torch.save_file({k: t.detach() for k, t in state.items()}, data)
    about = {"step": step, "blake2b": _hash(data), "extra": dict(extra)}
    _write(part / "checkpoint.json", (json.dumps(about, indent=1) + "\n").encode())
    _flush(part)
    if final.exists():
        final.rename(folder / f".old-{step:08d}")
    part.rename(final)
    _flush(folder)
    link = folder / ".latest"
    link.unlink(missing_ok=True)
    link.symlink_to(final.name)
    link.replace(folder / "latest")
    _flush(folder)
    for old in _steps(folder)[:-KEEP]:
        # Renamed first: a kill in the middle of deleting leaves no half checkpoint under a good name.
        gone = folder / f".old-{old.name[5:]}"
        shutil.rmtree(gone, ignore_errors=True)
        old.rename(gone)
    for rest in [*folder.glob(".old-*"), *folder.glob(".part-*")]:
        shutil.rmtree(rest, ignore_errors=True)
    return final


def newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None where there is none. Damaged ones are named through ``say``."""
    damaged: list[str] = []
    for path in reversed(_steps(folder)):
        try:
            found = _load(path)
        except (OSError, ValueError, KeyError, CheckpointError) as error:
            damaged.append(path.name)
            say(f"Checkpoint {path} is damaged ({error}); trying the one before it.")
            continue
        return found
    if damaged:
        raise CheckpointError(
            f"None of the checkpoints in {folder} is whole ({', '.join(damaged)}). "
            f"Delete {folder} to start this run anew."
        )
    return None


def _load(path: Path) -> Checkpoint:
    about = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    data = path / "state.safetensors"
    if _hash(data) != about["blake2b"]:
        raise CheckpointError(f"{data.stat().st_size} bytes whose hash is not the one that was saved")
    return Checkpoint(int(about["step"]), safetensors.torch.load_file(data), about["extra"], path)


def _steps(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir())


def _hash(path: Path) -> str:
    """Hash of a file, which is flushed to disk on the way."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write(path: Path, blob: bytes) -> None:
    with path.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
