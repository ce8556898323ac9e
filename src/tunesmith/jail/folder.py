"""The folder that a program may write in: of a size that holds, and gone afterwards.

Where the machine allows it (root, or a user namespace of one's own), each program gets a small file system in memory,
seen by these processes alone. The kernel then counts every byte and file, also those that have no name any more.
Elsewhere it is a plain folder in which nothing can be removed, so that counting what has a name counts all; a program
is then stopped once it has written too much.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

FILES_MB = 64
FILES = 10_000
_NEW_NAMESPACE, _NEW_USER = 0x00020000, 0x10000000
_RECURSIVE, _PRIVATE, _NO_SETUID, _NO_DEVICES, _DETACH = 0x4000, 1 << 18, 2, 4, 2


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Folders:
    """Makes the folders, below one that exists."""

    def __init__(self, base: Path) -> None:
        self.path = base / "program"
        self.path.mkdir()
        self.mounts = _comes_through(lambda: _own_namespace() and self._mount()) and _own_namespace()
        """Whether they are file systems of their own."""

    def lay(self) -> None:
        """A new empty one, with a room for the program and one for its tests."""
        if self.mounts and not self._mount():
            raise OSError(ctypes.get_errno(), "mount")
        for room in ("program", "tests"):
            (self.path / room).mkdir(mode=0o700)

    def clear(self) -> None:
        """Remove all that is in it."""
        if self.mounts:
            self._unmount()
        else:
            empty(self.path)

    def full(self) -> bool:
        """Whether a program has written too much. A file system of its own cannot be."""
        return not self.mounts and _too_much(self.path)

    def _mount(self) -> bool:
        options = f"size={FILES_MB << 20},nr_inodes={FILES},mode=0700".encode()
        flags = _NO_SETUID | _NO_DEVICES
        return bool(_libc().mount(b"program", os.fsencode(self.path), b"tmpfs", ctypes.c_ulong(flags), options) == 0)

    def _unmount(self) -> None:
        _libc().umount2(os.fsencode(self.path), _DETACH)


def _comes_through(try_it: Callable[[], bool]) -> bool:
    """Whether something succeeds, tried in a fork: half a namespace could not be left again."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if try_it() else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _own_namespace() -> bool:
    """See file systems that others do not see; whether this is allowed."""
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(_NEW_NAMESPACE) != 0:
        if _libc().unshare(_NEW_USER | _NEW_NAMESPACE) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return bool(_libc().mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None) == 0)


def _too_much(path: Path) -> bool:
    """Whether there are more bytes or files than allowed."""
    count = size = 0
    for at, name, leaving in _walk(path):
        if not leaving:
            with suppress(OSError):  # the program may be moving it
                size += os.stat(name, dir_fd=at, follow_symlinks=False).st_blocks * 512
            count += 1
        if count > FILES or size > FILES_MB << 20:
            return True
    return False


def empty(path: Path) -> None:
    """Remove all that is in a folder, however deep."""
    for at, name, leaving in _walk(path):
        if leaving:
            os.rmdir(name, dir_fd=at)
        else:
            with suppress(IsADirectoryError, PermissionError):
                os.unlink(name, dir_fd=at)


def _walk(path: Path) -> Iterator[tuple[int, str, bool]]:
    """All that is in a folder: the opened folder that it is in, its name, and whether it is a folder that is left now,
    after it was entered. Folders may be nested deeper than any path is long and than functions can be, so each is
    opened from the one above it."""
    at = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    above: list[tuple[str, list[str]]] = []
    names = os.listdir(at)
    try:
        while names or above:
            if not names:
                name, names = above.pop()
                at = _go(at, "..")
                yield at, name, True
                continue
            name = names.pop()
            yield at, name, False
            with suppress(OSError):  # it is no folder, or gone
                at = _go(at, name)
                above.append((name, names))
                names = os.listdir(at)
    finally:
        os.close(at)


def _go(at: int, name: str) -> int:
    """Into the next folder, also where its program has closed it to readers."""
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        to = os.open(name, how, dir_fd=at)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=at)
        to = os.open(name, how, dir_fd=at)
    os.close(at)
    return to
