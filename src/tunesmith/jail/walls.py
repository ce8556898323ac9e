"""Takes every right away from the process that calls ``enter``, before it runs what nobody has read.

After it, the working folder is all that can be written; Python and its libraries are all that can be read (Landlock).
There is no network, no other process, no program to start, no signal to anybody and no change of file rights
(seccomp), and no privilege, also for root. The process ends with its parent. ``enter`` raises ``OSError`` where the
machine cannot take one of these rights away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable

_DENIED = {
    # what starts or leaves: x86-64, AArch64 (-1: has none)
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    # what looks into others
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "personality": (135, 92),
    # network, and memory that has no limit
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "memfd_create": (319, 279), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "memfd_secret": (447, 447),
    # limits, and the share of the machine that others get
    "setrlimit": (160, 164), "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "setsid": (112, 157), "setpgid": (109, 154),
    # what Landlock does not see
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "utime": (132, -1), "utimes": (235, -1),
    "futimesat": (261, -1), "utimensat": (280, 88), "open_by_handle_at": (304, 265),
    "truncate": (76, 45),
}  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
_OPEN, _OPENAT, _OPENAT2, _PRCTL = (2, -1), (257, 56), (437, 437), (157, 167)
_CLONE_THREAD = 0x10000
_NAMELESS = 0x400000
"""The bit of ``O_TMPFILE`` among the flags of open."""
_DIES_WITH_PARENT, _NO_NEW_PRIVILEGES, _SECCOMP = 1, 38, 22
"""Options of prctl."""
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_ALLOW, _EPERM, _ENOSYS, _EOPNOTSUPP = 0x7FFF0000, 0x00050001, 0x00050026, 0x0005005F

_LANDLOCK = (444, 445, 446)
"""create_ruleset, add_rule, restrict_self: the same numbers everywhere."""
_READ = 1 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
_WRITE = 1 << 1
_REMOVE = 1 << 4 | 1 << 5  # a folder, a file
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights over files that each version of Landlock knows."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, number: int, *values: object) -> int:
    found = int(_libc.syscall(ctypes.c_long(number), *values))
    if found < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return found


def limit(memory: int, file: int, seconds: int) -> None:
    """No more memory, time and size of files than this."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def close_files(readable: Iterable[str], writable: str, *, removing: bool) -> None:
    """Landlock: read some folders, write one, and nothing else."""
    version = _call("Landlock", _LANDLOCK[0], None, ctypes.c_size_t(0), ctypes.c_uint(1))
    rights = _RIGHTS[max(v for v in _RIGHTS if v <= version)]
    handled = struct.pack("Q", rights)
    rules = _call("Landlock", _LANDLOCK[0], handled, ctypes.c_size_t(len(handled)), ctypes.c_uint(0))
    own = rights & ~1 if removing else rights & ~1 & ~_REMOVE
    for path, allowed in [*((path, _READ) for path in readable), ("/dev/null", _READ | _WRITE), (writable, own)]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # so it stays closed
            handle = os.open(path, os.O_PATH)
            if not os.path.isdir(path):
                allowed &= 0b111
            rule = struct.pack("=Qi", allowed, handle)
            _call("Landlock", _LANDLOCK[1], ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
            os.close(handle)
    _call("Landlock", _LANDLOCK[2], ctypes.c_int(rules), ctypes.c_uint(0))
    os.close(rules)


def drop_privileges() -> None:
    """Nothing that root may and others may not."""
    capset = {"x86_64": 126, "aarch64": 91}[platform.machine()]
    _call("capset", capset, struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6))


def close_calls(*, removing: bool) -> None:
    """seccomp: the calls of the table fail, and those that would reach another process."""
    column, machine = _MACHINES[platform.machine()]
    own = os.getpid()
    lines: list[tuple[int, int, int, int]] = []
    equal, least, bits = 0x15, 0x35, 0x45

    def load(offset: int) -> None:
        lines.append((0x20, 0, 0, offset))

    def jump(kind: int, yes: int, no: int, value: int) -> None:
        lines.append((kind, yes, no, value))

    def give(value: int) -> None:
        lines.append((0x06, 0, 0, value))

    def by_argument(numbers: tuple[int, int], place: int, kind: int, value: int, yes: int, no: int) -> None:
        """What a call gives depends on one of its arguments."""
        if numbers[column] >= 0:
            jump(equal, 0, 4, numbers[column])
            load(16 + 8 * place)
            jump(kind, 0, 1, value)
            give(yes)
            give(no)

    load(4)
    jump(equal, 1, 0, machine)
    give(_EPERM)
    load(0)
    jump(least, 0, 1, 0x40000000)  # x32
    give(_EPERM)
    for numbers in _DENIED.values():
        if numbers[column] >= 0:
            jump(equal, 0, 1, numbers[column])
            give(_EPERM)
    for hidden in (_CLONE3, _OPENAT2):  # their flags cannot be seen here; libraries then use clone and openat
        jump(equal, 0, 1, hidden[column])
        give(_ENOSYS)
    by_argument(_CLONE, 0, bits, _CLONE_THREAD, _ALLOW, _EPERM)
    by_argument(_KILL, 0, equal, own, _ALLOW, _EPERM)
    by_argument(_TGKILL, 0, equal, own, _ALLOW, _EPERM)
    by_argument(_PRCTL, 0, equal, _DIES_WITH_PARENT, _EPERM, _ALLOW)
    if not removing:
        by_argument(_OPEN, 1, bits, _NAMELESS, _EOPNOTSUPP, _ALLOW)
        by_argument(_OPENAT, 2, bits, _NAMELESS, _EOPNOTSUPP, _ALLOW)
    give(_ALLOW)
    program = b"".join(struct.pack("HBBI", *line) for line in lines)
    kept = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(kept))
    _prctl("seccomp", _SECCOMP, 2, filter_)


def _prctl(what: str, option: int, value: int, more: object = 0) -> None:
    if _libc.prctl(option, value, more, 0, 0):
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def enter(*, memory: int, file: int, seconds: int, removing: bool, parent: int) -> None:
    """Take everything away. ``removing`` says whether files may be removed in the working folder: where nothing else
    limits a folder's size, a file that has no name any more would be counted by nobody."""
    _prctl("end with the parent", _DIES_WITH_PARENT, 9)
    if os.getppid() != parent:
        raise OSError("the parent is gone")
    if platform.machine() not in _MACHINES:
        raise OSError(f"{platform.machine()} is not supported")
    readable = {sys.prefix, sys.base_prefix, *(p for p in sys.path if p), "/usr", "/lib", "/lib64", "/etc/ld.so.cache"}
    _prctl("no_new_privs", _NO_NEW_PRIVILEGES, 1)
    devices = {"/dev/urandom", "/dev/zero"}
    close_files(sorted(readable | devices), os.getcwd(), removing=removing)
    drop_privileges()
    limit(memory, file, seconds)
    close_calls(removing=removing)
