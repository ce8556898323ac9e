"""Checkpoints that are whole or are not there, written while training goes on.

    saver = Saver(out / "checkpoints", ranks)
    saver.save(step, pieces, extra)      returns at once: a thread writes what the optimizer holds
    saver.wait()                         before the optimizer changes it again
    found = newest(folder, say)          the newest whole one, whoever wrote it
    found.load(pieces)                   into the memory of any number of ranks

    checkpoints/step-00000200/{state-0-of-2.safetensors, state-1-of-2.safetensors, checkpoint.json}
    checkpoints/latest -> step-00000200

Weights change in the optimizer's step alone, so a thread can read them in place during the next forward and backward
pass: no copy is made. Each rank writes what it holds to a hidden folder and flushes it; the first one waits for the
files of the others, not for their processes, and renames the folder. Every file has a hash, so a damaged one is
noticed, named, and the checkpoint before it is used. A file says which rows of a tensor it has, so that any number of
ranks can read what another number has written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open
from torch import Tensor

from tunesmith.core.errors import CheckpointError
from tunesmith.core.whole import write_whole
from tunesmith.train.optim import Piece
from tunesmith.train.parallel import PATIENCE, Ranks

KEEP = 2
"""Checkpoints kept: the newest, and one to fall back on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was found on disk: the state after ``step`` optimizer steps."""

    step: int
    extra: Mapping[str, Any]
    folder: Path
    files: tuple[str, ...]

    def load(self, pieces: Sequence[Piece]) -> None:
        """Fill each piece from the files that have rows of it."""
        left = {piece.name: piece.data.numel() for piece in pieces}
        for name in self.files:
            with safe_open(self.folder / name, "pt") as file:
                about = json.loads(file.metadata()["pieces"])
                for piece in pieces:
                    if piece.name in about and piece.data.numel():
                        first, shape = about[piece.name]
                        if tuple(shape) != piece.shape:
                            raise CheckpointError(
                                f"The checkpoint does not fit this model: {piece.name} differs in size."
                            )
                        left[piece.name] -= _fill(piece, file.get_slice(piece.name), first)
        missing = [name for name, numbers in left.items() if numbers > 0]  # each rank writes the count of steps
        if missing:
            raise CheckpointError(f"The checkpoint does not fit this model: it lacks {', '.join(missing[:3])}.")


def _fill(piece: Piece, stored: Any, first: int) -> int:
    """Copy the rows that both have; how many numbers these are."""
    rows = stored.get_shape()[0]
    begin = max(piece.first, first)
    end = min(piece.first + len(piece.data), first + rows)
    if begin >= end:
        return 0
    into = piece.data[begin - piece.first : end - piece.first]
    into.copy_(stored[begin - first : end - first])
    return into.numel()


class Saver:
    """Writes the checkpoints of one run, one at a time, in a thread of its own."""

    def __init__(
        self, folder: Path, ranks: Ranks | None = None, *, divided: bool = False, say: Callable[[str], None] = print
    ) -> None:
        self.folder, self.ranks, self.say = folder, ranks or Ranks(), say
        self._parts = self.ranks.size if divided else 1
        """How many ranks hold something that the first does not."""
        # Files of a try that was killed are not taken for those of this one.
        self._try = self.ranks.told(lambda: os.urandom(4).hex())
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self.keep = 0
        """A step whose checkpoint stays whatever comes after it; 0 for none."""
        self.stalled = 0.0
        """Seconds that steps have waited for writing, the end of the run apart."""

    def save(self, step: int, pieces: Sequence[Piece], extra: Mapping[str, Any], *, now: bool = False) -> None:
        """Begin to write the checkpoint of ``step``; with ``now`` it is there on return, or an error is raised."""
        self.wait()
        if self.ranks.rank >= self._parts:
            return
        # A daemon: a second Ctrl-C ends the process, and the checkpoint before this one is whole.
        self._thread = threading.Thread(target=self._write, args=(step, list(pieces), dict(extra)), daemon=True)
        self._thread.start()
        if now:
            self.wait(strict=True)

    def wait(self, *, strict: bool = False) -> None:
        """Until nothing is being written. What went wrong is told; the next checkpoint may be luckier."""
        began = time.perf_counter()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not strict:
            self.stalled += time.perf_counter() - began
        error, self._error = self._error, None
        if error is None:
            return
        text = f"The checkpoint in {self.folder} could not be written: {error}."
        if strict:
            raise CheckpointError(f"{text} Mend that, and start the same command again.") from None
        self.say(f"{text} Training goes on, and the checkpoints before it are still there.")

    def _write(self, step: int, pieces: list[Piece], extra: dict[str, Any]) -> None:
        here, part = self.ranks.rank, self.folder / f".part-{step:08d}-{self._try}"
        try:
            part.mkdir(parents=True, exist_ok=True)
            names = [f"state-{i}-of-{self._parts}.safetensors" for i in range(self._parts)]
            _write_pieces(part / names[here], pieces)
            write_whole(part / f"{here}.json", json.dumps(_hash(part / names[here])))
            if here == 0:
                hashes = {name: _await(part / f"{i}.json") for i, name in enumerate(names)}
                about = {"step": step, "blake2b": hashes, "extra": extra}
                write_whole(part / "checkpoint.json", json.dumps(about, indent=1) + "\n")
                self._publish(part, step)
        except Exception as error:  # of a thread: it is told where somebody waits for it
            self._error = error
            if here == 0:
                shutil.rmtree(part, ignore_errors=True)
            else:
                with suppress(OSError):
                    write_whole(part / f"{here}.json", json.dumps({"error": str(error)}))  # the first rank waits for it

    def _publish(self, part: Path, step: int) -> None:
        """Give a folder that is whole its name, and take away what is not needed any more."""
        folder, final = self.folder, self.folder / f"step-{step:08d}"
        for i in range(self._parts):
            (part / f"{i}.json").unlink()
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
            if old.name == f"step-{self.keep:08d}":
                continue
            # Renamed first: a kill in the middle of deleting leaves no half checkpoint under a good name.
            gone = folder / f".old-{old.name[5:]}"
            shutil.rmtree(gone, ignore_errors=True)
            old.rename(gone)
        for rest in [*folder.glob(".old-*"), *folder.glob(".part-*")]:
            if not rest.name.endswith(self._try):  # another rank may have begun the next one
                shutil.rmtree(rest, ignore_errors=True)


def newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None where there is none. Damaged ones are named through ``say``."""
    damaged: list[str] = []
    for path in reversed(_steps(folder)):
        try:
            return _open(path)
        except (OSError, ValueError, KeyError, CheckpointError) as error:
            damaged.append(path.name)
            say(f"Checkpoint {path} is damaged ({error}); trying the one before it.")
    if damaged:
        raise CheckpointError(
            f"None of the checkpoints in {folder} is whole ({', '.join(damaged)}). "
            f"Delete {folder} to start this run anew."
        )
    return None


def at(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of one step."""
    return _open(folder / f"step-{step:08d}")


def _open(path: Path) -> Checkpoint:
    about = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    for name, wanted in about["blake2b"].items():
        if _hash(path / name) != wanted:
            size = (path / name).stat().st_size
            raise CheckpointError(f"{name}: {size} bytes whose hash is not the one that was saved")
    return Checkpoint(int(about["step"]), about["extra"], path, tuple(about["blake2b"]))


def _steps(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir())


def _write_pieces(path: Path, pieces: Sequence[Piece]) -> None:
    about = {p.name: (p.first, p.shape) for p in pieces}
    tensors: dict[str, Tensor] = {p.name: p.data.detach() for p in pieces}
    safetensors.torch.save_file(tensors, path, metadata={"pieces": json.dumps(about)})


def _hash(path: Path) -> str:
    """Hash of a file, which is flushed to disk on the way."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _await(path: Path) -> str:
    """What another rank says of its file, as soon as it is there."""
    end = time.monotonic() + PATIENCE.total_seconds()
    while not path.exists():
        if time.monotonic() > end:
            raise CheckpointError(f"{path.name} was never written; is {path.parent} a folder that all machines share?")
        time.sleep(0.02)
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, str):
        raise CheckpointError(f"another process: {value['error']}")
    return value


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
