"""Run programs that nobody has read, so that they do no harm and always end.

    run_python("print(1 + 1)")             Run(ended=True, said="2\\n", why="")

Each has a process of its own without network, other processes or privileges, an empty folder to write in, and limits
of time, memory and size (``jail.py``). It counts as ended only when its last line was reached: an early ``exit(0)``
in front of the tests is no success. Where the machine cannot keep one of these promises, nothing is run and the error
says which.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tunesmith.errors import EvalError
from tunesmith.evals.jail import REFUSED

SECONDS = 10.0
MEMORY_MB = 1024
FILES_MB = 64
"""Of the folder that a program may write in."""
PRINTED_MB = 16
"""Of what it prints, and of each file."""
KEPT = 1 << 16
"""Bytes of what it says that are kept, of the beginning."""
_JAIL = Path(__file__).with_name("jail.py")


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a program."""

    ended: bool
    """Whether it came to its last line without an error."""
    said: str
    """The beginning of what it printed."""
    why: str
    """If it did not end: the last line of its error, or what it was stopped for."""


def run_python(program: str, *, seconds: float = SECONDS, memory_mb: int = MEMORY_MB) -> Run:
    """Run one program."""
    ends, tells = os.pipe()
    limits = {"memory": memory_mb << 20, "file": PRINTED_MB << 20, "seconds": int(seconds) + 1, "tell": tells}
    with (
        tempfile.TemporaryDirectory(prefix="program-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as text,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as errors,
        os.fdopen(ends, "rb") as end,
    ):
        text.write(program.encode("utf-8", "surrogatepass"))
        text.seek(0)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", str(_JAIL), json.dumps(limits)],
                stdin=text,
                stdout=said,
                stderr=errors,
                cwd=folder,
                env={"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
                pass_fds=(tells,),
            )
        finally:
            os.close(tells)
        why = _watch(process, Path(folder), seconds)
        ended = end.read(1) == b"." and process.returncode == 0 and not why
        last = _beginning(errors, from_end=True).strip().splitlines()
        if process.returncode == REFUSED and not why:
            raise EvalError(
                f"Programs cannot be run safely on this machine ({last[-1] if last else 'no reason given'}). "
                "It takes Linux 5.13 or later with Landlock and seccomp, on x86-64 or AArch64."
            )
        if not ended and not why:
            why = last[-1][:500] if last else _status(process.returncode)
        return Run(ended, _beginning(said), why)


def _watch(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> str:
    """Wait for the end, or make it: what it was stopped for, if it was."""
    limit = time.monotonic() + seconds
    why = ""
    while True:
        try:
            process.wait(timeout=min(0.1, max(0.001, limit - time.monotonic())))
            return ""
        except subprocess.TimeoutExpired:
            if time.monotonic() >= limit:
                why = f"it ran longer than {seconds:g} seconds"
            elif _size(folder) > FILES_MB << 20:
                why = f"it wrote more than {FILES_MB} MB"
        if why:
            process.kill()  # it has no other process
            process.wait()
            return why


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _beginning(file: IO[bytes], *, from_end: bool = False) -> str:
    """The first bytes of a file that are kept, or the last."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT) if from_end else 0)
    return file.read(KEPT).decode("utf-8", "replace")


def _status(code: int) -> str:
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return "it stopped before its last line" if code == 0 else f"it ended with status {code}"
