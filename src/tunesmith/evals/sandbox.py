"""Run untrusted programs, so that they do no harm and always end, and test them so that they cannot pass without being
right.

    run_python("print(1 + 1)")                                         Run(ended=True, said="2\\n", why="")
    run_tests("def half(x): return x / 2", "assert half(3) == 1.5")    Run(ended=True, said="", why="")

A program has a process of its own without network, other processes or privileges, an empty folder to write in, and
limits of time, memory and size. Its tests run in another such process, which calls the program's functions with plain
data and compares what comes back there; the program holds neither the tests nor the verdict (``jail/``). Where the
machine cannot keep one of these promises, nothing is run and the error says which.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tunesmith.core.errors import EvalError
from tunesmith.jail import folder

SECONDS = 10.0
MEMORY_MB = 1024
KEPT = 1 << 16
"""How many bytes of a program's output are kept, from its beginning."""
_GRACE = 60.0
"""Seconds that a warden may take longer than the program that it watches."""
_START = """
import sys, types
package = types.ModuleType("tunesmith")
package.__path__ = [{package!r}]
sys.modules["tunesmith"] = package
from tunesmith.jail import warden
warden.main()
"""
"""What a warden runs. The package itself is not imported: it reads and sets more than a warden should have."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a program."""

    ended: bool
    """Whether it came to its last line without an error (which is its own word), or passed its tests."""
    said: str
    """The beginning of what it printed."""
    why: str
    """If it did not end: the last line of its error, or what it was stopped for."""


def run_python(program: str, *, seconds: float = SECONDS, memory_mb: int = MEMORY_MB) -> Run:
    """Run one program as a script."""
    return _do({"seconds": seconds, "memory": memory_mb << 20}, program.encode("utf-8", "surrogatepass"))


def run_tests(
    answer: str,
    tests: str,
    *,
    begin: str = "",
    entry: Sequence[str] = (),
    seconds: float = SECONDS,
    memory_mb: int = MEMORY_MB,
) -> Run:
    """Run the program in a model's answer, and its tests beside it.

    ``begin`` is what the question has shown of the program; ``entry`` names what the tests take from the program, by
    default every name that they use and do not define.
    """
    told = {"begin": begin, "entry": list(entry)}
    return _do(
        {"seconds": seconds, "memory": memory_mb << 20},
        json.dumps({**told, "text": answer}).encode(),
        json.dumps({**told, "tests": tests}).encode(),
    )


def _do(limits: dict[str, Any], *texts: bytes) -> Run:
    """One job of a warden."""
    if not hasattr(os, "memfd_create"):
        raise EvalError("Programs are run on Linux only: it takes Landlock and seccomp. Leave out the metric `passes`.")
    with _file() as program, _file() as said, _file() as errors, _file() as tests:
        for file, text in zip((program, tests), texts, strict=False):
            file.write(text)
            file.flush()
        files = [program, said, errors, tests][: 2 + len(texts)]
        with _warden() as warden:
            told = warden.do(limits, [file.fileno() for file in files])
        last = _beginning(errors, from_end=True).strip().splitlines()
        if told.get("refused"):
            raise EvalError(
                f"Programs cannot be run safely on this machine ({last[-1] if last else 'no reason given'}). "
                "It takes Linux 5.13 or later with Landlock and seccomp, on x86-64 or AArch64."
            )
        if told.get("passed"):
            return Run(True, _beginning(said), "")
        why = told.get("why") or (last[-1][:500] if last else _status(told.get("code", 0)))
        return Run(False, _beginning(said), str(why))


@contextmanager
def _file() -> Iterator[IO[bytes]]:
    """A file in memory that others can be given."""
    with os.fdopen(os.memfd_create("job"), "w+b") as file:
        yield file


def _beginning(file: IO[bytes], *, from_end: bool = False) -> str:
    """The first bytes of a file that are kept, or the last."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT) if from_end else 0)
    return file.read(KEPT).decode("utf-8", "replace")


def _status(code: int) -> str:
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return "it stopped before its last line" if code == 0 else f"it ended with status {code}"


# -- wardens: processes that wait for the next program -----------------------------------------------------------------


class _Warden:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="program-"))
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start = _START.format(package=str(Path(__file__).parents[1]))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", start, str(self.base), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )
        finally:
            theirs.close()

    def do(self, limits: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """One job: what became of it."""
        self.control.settimeout(limits["seconds"] + _GRACE)
        try:
            socket.send_fds(self.control, [json.dumps(limits).encode()], files)
            told = self.control.recv(1 << 16)
        except OSError as error:
            raise EvalError(f"A program could not be run: {error}.") from None
        if not told:
            raise EvalError("A program could not be run: the process that watches it has ended.")
        found: dict[str, Any] = json.loads(told)
        return found

    def end(self) -> None:
        """End it, and with it what it runs."""
        self.control.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(OSError):
            folder.empty(self.base / "program")
        shutil.rmtree(self.base, ignore_errors=True)


_idle: list[_Warden] = []
_lock = threading.Lock()


@contextmanager
def _warden() -> Iterator[_Warden]:
    """A warden that does nothing else now. One whose job was broken off is ended."""
    with _lock:
        warden = _idle.pop() if _idle else None
    warden = warden or _Warden()
    try:
        yield warden
    except BaseException:
        warden.end()
        raise
    with _lock:
        _idle.append(warden)


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget() -> None:
    """In a fork: its wardens are the other process's."""
    global _lock
    _lock = threading.Lock()
    for warden in _idle:
        warden.control.close()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
