"""Every error leaves the program as one line with an exit code; the traceback of an unexpected one is in a file."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.cli.door import pass_through
from tunesmith.core.errors import DataError


def leave(error: BaseException, capsys: pytest.CaptureFixture[str], *, debug: bool = False) -> tuple[int, str]:
    """Exit code and standard error, when the work ends with this error."""

    def work() -> None:
        raise error

    code = pass_through(work, debug=debug)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DataError("rows.jsonl:3: no text"), 1, "error: rows.jsonl:3: no text\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/out/model"), 1, "The disk is full: /out/model."),
        (OSError(errno.EACCES, "Permission denied", "/root/x"), 1, "error: Permission denied: /root/x.\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), 1, "File name too long: xxx"),
        (MemoryError(), 1, "There is not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "Tried to allocate 2 GiB"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 1, "is not valid UTF-8"),
        (KeyboardInterrupt(), 130, "stopped. The same command goes on"),
        (KeyError("plan"), 3, "A fault of tunesmith"),
        (RecursionError("maximum recursion depth exceeded"), 3, "A fault of tunesmith"),
    ],
)
def test_an_error_is_one_line(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    got, text = leave(error, capsys)
    assert got == code
    assert told in text
    assert text.count("\n") == 1 and len(text) < 1000
    assert "Traceback" not in text


def test_a_fault_of_ours_names_a_file_with_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, text = leave(ZeroDivisionError("division by zero"), capsys)
    file = re.search(r"Please report it with (\S+),", text)
    assert file is not None
    kept = Path(file[1]).read_text(encoding="utf-8")
    assert "ZeroDivisionError: division by zero" in kept and "test_door.py" in kept


def test_a_full_disk_does_not_hide_a_fault_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not-there"))
    code, text = leave(ZeroDivisionError("division by zero"), capsys)
    assert code == 3 and "--debug" in text


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = leave(DataError("no text"), capsys, debug=True)
    assert code == 1 and "Traceback" in text


def program(*args: str | bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "tunesmith.cli", *args], timeout=120, **options)  # type: ignore[call-overload,no-any-return]


def test_a_reader_that_has_had_enough_sees_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    ran = program("--help", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert ran.returncode == 1 and ran.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_output_is_told() -> None:
    with open("/dev/full", "wb") as full:
        ran = program("doctor", "--help", stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 1
    assert (
        b"The disk is full" in ran.stderr and b"Traceback" not in ran.stderr and b"Exception ignored" not in ran.stderr
    )


@pytest.mark.parametrize(
    "args", [("run", "x" * 5000), ("run", b"caf\xe9.yaml"), ("chat", "a\udce9b"), ("chat", "x" * 5000)]
)
def test_strange_names_end_in_one_line(args: tuple[str | bytes, ...]) -> None:
    ran = program(*(arg if isinstance(arg, bytes) else os.fsencode(arg) for arg in args), capture_output=True)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.count(b"\n") == 1 and b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("run", "--nope"), "See: tunesmith run --help"),
        (("data", "build", "x"), "Missing option '--out' / '-o'. See: tunesmith data build --help"),
        (("runn",), "There is no verb 'runn'. Did you mean: tunesmith run."),
    ],
)
def test_a_wrong_command_line_is_one_line_too(args: tuple[str, ...], told: str) -> None:
    ran = program(*args, capture_output=True)
    text = ran.stderr.decode()
    assert ran.returncode == 2
    assert told in text and text.count("\n") == 1


def test_an_error_cannot_paint_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = leave(DataError("row \x1b[2J\x1b]0;title\x07x of a file\x9b31m"), capsys)
    assert told == "error: row x of a file\n"
