"""The inside of ``sandbox``: takes every right away from this process, then runs the program that stands on stdin.

    python -I jail.py '{"memory": 1073741824, "file": 16777216, "seconds": 10, "tell": 3}' < program.py

Runs alone, with nothing but the standard library. The working folder is all that can be written; Python and its
libraries are all that can be read (Landlock). No network, no other process, no program to start, no signal to
anybody, no change of what a file may (seccomp); no privilege, also for root. Exit 97 says that the machine could not
take one of them away, and nothing was run. A byte on descriptor ``tell`` says that the program came to its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable

REFUSED = 97

_DENIED = {
    # what starts or leaves: x86-64, AArch64 (-1: has none)
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    # what looks into others
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "personality": (135, 92),
    # network, and memory that has no limit
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "memfd_create": (319, 279), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190),
    # limits, and what Landlock does not see
    "setrlimit": (160, 164), "prlimit64": (302, 261), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "utime": (132, -1), "utimes": (235, -1),
    "futimesat": (261, -1), "utimensat": (280, 88), "open_by_handle_at": (304, 265),
}  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
_CLONE_THREAD = 0x10000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026

_LANDLOCK = (444, 445, 446)
"""create_ruleset, add_rule, restrict_self: the same numbers everywhere."""
_READ = 1 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
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


def close_files(readable: Iterable[str], writable: str) -> None:
    """Landlock: read some folders, write one, and nothing else."""
    version = _call("Landlock", _LANDLOCK[0], None, ctypes.c_size_t(0), ctypes.c_uint(1))
    rights = _RIGHTS[max(v for v in _RIGHTS if v <= version)]
    handled = struct.pack("Q", rights)
    rules = _call("Landlock", _LANDLOCK[0], handled, ctypes.c_size_t(len(handled)), ctypes.c_uint(0))
    for path, allowed in [*((path, _READ) for path in readable), (writable, rights & ~1)]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            handle = os.open(path, os.O_PATH)
            if not os.path.isdir(path):
                allowed &= 0b111 & ~(1 << 3)
            rule = struct.pack("=Qi", allowed, handle)
            _call("Landlock", _LANDLOCK[1], ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
            os.close(handle)
    _call("Landlock", _LANDLOCK[2], ctypes.c_int(rules), ctypes.c_uint(0))
    os.close(rules)


def drop_privileges() -> None:
    """Nothing that root may and others may not."""
    capset = {"x86_64": 126, "aarch64": 91}[platform.machine()]
    _call("capset", capset, struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6))


def close_calls() -> None:
    """seccomp: the calls of the table fail, and those that would reach another process."""
    column, machine = _MACHINES[platform.machine()]
    own = os.getpid()
    lines: list[tuple[int, int, int, int]] = []

    def load(offset: int) -> None:
        lines.append((0x20, 0, 0, offset))

    def jump(kind: int, yes: int, no: int, value: int) -> None:
        lines.append((kind, yes, no, value))

    def give(value: int) -> None:
        lines.append((0x06, 0, 0, value))

    equal, least, bits = 0x15, 0x35, 0x45
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
    jump(equal, 0, 1, _CLONE3[column])
    give(_ENOSYS)  # its flags cannot be seen here; libraries then use clone
    jump(equal, 0, 4, _CLONE[column])
    load(16)
    jump(bits, 1, 0, _CLONE_THREAD)
    give(_EPERM)
    give(_ALLOW)
    for numbers in (_KILL, _TGKILL):
        jump(equal, 0, 4, numbers[column])
        load(16)
        jump(equal, 1, 0, own)
        give(_EPERM)
        give(_ALLOW)
    give(_ALLOW)
    program = b"".join(struct.pack("HBBI", *line) for line in lines)
    kept = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(kept))
    if _libc.prctl(22, 2, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Take everything away, then run."""
    sys.setrecursionlimit(10_000)
    program = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    limits = json.loads(sys.argv[1])
    tell = limits.pop("tell")
    try:
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        folders = {
            sys.prefix,
            sys.base_prefix,
            *(p for p in sys.path if p),
            "/usr",
            "/lib",
            "/lib64",
            "/etc/ld.so.cache",
        }
        if _libc.prctl(38, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        close_files(sorted(folders | {"/dev/null", "/dev/urandom", "/dev/zero"}), os.getcwd())
        drop_privileges()
        limit(**limits)
        close_calls()
    except (OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(REFUSED)
    exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
    sys.stdout.flush()
    os.write(tell, b".")


if __name__ == "__main__":
    main()
