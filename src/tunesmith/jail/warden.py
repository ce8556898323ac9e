"""Starts prisoner and examiner for each program, watches them, and ends them.

    python -I -c '...main()' FOLDER DESCRIPTOR

A job comes over the socket ``DESCRIPTOR``: its limits as JSON, and open files: the program, what it prints, its
errors, and where there are tests, these. The warden itself reads none of them: it is what others are forked from, and
must not know the tests of which its forks are examined. Of each job it tells the end. It ends with its client.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.jail import examiner, prisoner, walls
from tunesmith.jail.folder import FILES_MB, Folders

LOOK = 0.02
"""Seconds between two looks at a folder that has no limit of its own."""
READY = [
    "typing",
    "math",
    "re",
    "collections",
    "itertools",
    "functools",
    "heapq",
    "bisect",
    "string",
    "random",
    "copy",
    "datetime",
    "decimal",
    "fractions",
    "dataclasses",
    "statistics",
    "hashlib",
    "enum",
    "abc",
]
"""Modules that programs often import: read once for all of them."""
PRINTED_MB = 16
"""Of what a program prints, and of each file that it writes."""


def main() -> None:
    """Do the jobs that come, until the client has gone."""
    os.umask(0o077)
    sys.setrecursionlimit(10_000)
    control = socket.socket(fileno=int(sys.argv[2]))
    control.setblocking(True)
    folders = Folders(Path(sys.argv[1]))
    for name in READY:
        importlib.import_module(name)
    gc.freeze()
    while True:
        data, files, _, _ = socket.recv_fds(control, 4096, 4)
        if not data:
            break
        folders.lay()
        try:
            told = Job(json.loads(data), files, folders, control).do()
        finally:
            for file in files:
                os.close(file)
            folders.clear()
        with contextlib.suppress(BrokenPipeError):
            control.sendall(json.dumps(told).encode())
    with contextlib.suppress(OSError):  # the client does it too, unless it was killed
        folders.path.rmdir()
        folders.path.parent.rmdir()


class Job:
    """One program."""

    def __init__(self, limits: dict[str, Any], files: list[int], folders: Folders, control: socket.socket) -> None:
        self.limits, self.files, self.folders, self.control = limits, files, folders, control
        self.running: list[int] = []
        self.opened: list[int] = []

    def do(self) -> dict[str, Any]:
        """Run it: what became of it, as JSON."""
        until = time.monotonic() + self.limits["seconds"]
        try:
            return self._examined(until) if len(self.files) > 3 else self._run(until)
        finally:
            for pid in self.running:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for one in self.opened:
                os.close(one)

    def _run(self, until: float) -> dict[str, Any]:
        program, said, errors = self.files
        ends, tells = self._pipe()
        stood, pid = self._fork(
            "program", said, errors, [program, tells], lambda: prisoner.main(program, -1, tells, served=False)
        )
        self._close(tells)
        if not stood:
            return {"refused": True}
        why = self._wait(ends, until)
        if why:
            return {"why": why}
        ended = os.read(ends, 1) == b"."
        code = self._end(pid)
        return {"passed": ended and code == 0, "code": code}

    def _examined(self, until: float) -> dict[str, Any]:
        program, said, errors, tests = self.files
        asked, asks = self._pipe()
        replied, replies = self._pipe()
        stood, pid = self._fork(
            "program", said, errors, [program, asked, replies],
            lambda: prisoner.main(program, asked, replies, served=True),
        )  # fmt: skip
        self._close(asked, replies)
        if not stood:
            return {"refused": True}
        verdict, judges = self._pipe()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        self.opened.append(nowhere)
        stood, _ = self._fork(
            "tests", nowhere, nowhere, [tests, replied, asks, judges],
            lambda: examiner.main(tests, replied, asks, judges),
        )  # fmt: skip
        self._close(judges, asks, replied)
        if not stood:
            return {"refused": True}
        why = self._wait(verdict, until)
        if why:
            return {"why": why}
        found = os.read(verdict, 1 << 16)
        told: dict[str, Any] = json.loads(found) if found else {"why": "the tests ended before they were through"}
        return {"code": self._end(pid)} if told.get("gone") else told

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self.opened += ends
        return ends

    def _close(self, *ends: int) -> None:
        for one in ends:
            self.opened.remove(one)
            os.close(one)

    def _fork(self, room: str, said: int, errors: int, keeps: list[int], then: Callable[[], None]) -> tuple[bool, int]:
        """A process within the walls that does something: whether they stand, and its id."""
        stands, built = os.pipe()
        own = os.getpid()
        pid = os.fork()
        if not pid:
            try:
                nothing = os.open(os.devnull, os.O_RDONLY)
                for here, there in ((nothing, 0), (said, 1), (errors, 2)):
                    os.dup2(here, there)
                begin = 3
                for kept in sorted([*keeps, built]):
                    os.closerange(begin, kept)
                    begin = kept + 1
                os.closerange(begin, 1 << 16)
                os.chdir(self.folders.path / room)
                try:
                    walls.enter(
                        memory=self.limits["memory"],
                        file=PRINTED_MB << 20,
                        seconds=int(self.limits["seconds"]) + 1,
                        removing=self.folders.mounts,
                        parent=own,
                    )
                except (OSError, ValueError) as error:
                    sys.stderr.write(f"{error}\n")
                    sys.stderr.flush()
                    os._exit(1)
                os.write(built, b".")
                os.close(built)
                then()
            finally:
                os._exit(1)
        self.running.append(pid)
        os.close(built)
        try:
            return os.read(stands, 1) == b".", pid
        finally:
            os.close(stands)

    def _wait(self, end: int, until: float) -> str:
        """Wait until something can be read there, or nothing any more: why it was not waited for, if it was not."""
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.register(self.control, select.POLLIN)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return f"it ran longer than {self.limits['seconds']:g} seconds"
            ready = poll.poll((left if self.folders.mounts else min(left, LOOK)) * 1000)
            if any(one == self.control.fileno() for one, _ in ready):  # the client is gone, or wants no more of it
                return "it was stopped"
            if self.folders.full():
                return f"it wrote more than {FILES_MB} MB"
            if ready:
                return ""

    def _end(self, pid: int) -> int:
        """The status of a process that is ending; a negative one is the signal that ended it."""
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                select.select([handle], [], [], 1)
            finally:
                os.close(handle)
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            return -signal.SIGKILL
        self.running.remove(pid)
        return os.waitstatus_to_exitcode(status)
