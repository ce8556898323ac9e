"""Programs that try to do harm, or never to end: each is contained, and the next one runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tunesmith.core.errors import EvalError
from tunesmith.evals import sandbox
from tunesmith.evals.sandbox import Run, run_python, run_tests

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are run on Linux only")


def test_what_a_program_says() -> None:
    assert run_python("print(1 + 1)\nprint('你好')") == Run(True, "2\n你好\n", "")
    assert run_python("assert 1 + 1 == 3, 'no'") == Run(False, "", "AssertionError: no")
    assert run_python("def f(:").why == "SyntaxError: invalid syntax"
    assert run_python("print(input())").why.startswith("EOFError")
    assert run_python("import math, json, re, collections, itertools, random, datetime; print(math.pi)").ended
    assert run_python("open('a.txt', 'w').write('x' * 10); print(open('a.txt').read())").said == "x" * 10 + "\n"
    assert (
        run_python(
            "import threading as t; a = []; x = t.Thread(target=a.append, args=(1,)); x.start(); x.join(); print(a)"
        ).said
        == "[1]\n"
    )


@pytest.mark.parametrize(
    "program",
    [
        "exit(0)",
        "import sys; sys.exit()",
        "import os; os._exit(0)",
        "raise SystemExit",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_to_stop_before_the_tests_is_no_success(program: str) -> None:
    found = run_python(f"{program}\nassert False")
    assert not found.ended and found.why


def test_endless_loops_end() -> None:
    began = time.monotonic()
    for program in (
        "while True: pass",
        "import time; time.sleep(1000)",
        "import signal\nfor s in (1, 2, 10, 12, 13, 15, 24): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
    ):
        assert "longer than 1 seconds" in run_python(program, seconds=1).why
    assert time.monotonic() - began < 8


def test_a_fork_bomb_is_none() -> None:
    for program in (
        "import os\nwhile True: os.fork()",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "import multiprocessing as m\nfor i in range(1000): m.Process(target=print).start()",
        "import os; assert os.system('sleep 60 &') == 0",
        "import os; os.execv('/bin/sh', ['sh'])",
        "import ctypes; libc = ctypes.CDLL(None); assert libc.fork() < 0; raise PermissionError",
    ):
        found = run_python(program, seconds=5)
        assert not found.ended, program
    assert all(_processes(warden.base) == 1 for warden in sandbox._idle)
    many = run_python(
        "import threading, time\nfor i in range(100_000): threading.Thread(target=time.sleep, args=(60,)).start()",
        seconds=5,
    )
    assert not many.ended


def _processes(of: Path) -> int:
    """How many processes belong to wardens whose folder is this one, or is in it."""
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            found += os.fsencode(of) in Path("/proc", name, "cmdline").read_bytes()
    return found


def test_ten_gigabytes_are_not_given() -> None:
    assert "MemoryError" in run_python("x = bytearray(10 << 30)").why
    assert not run_python("x = []\nwhile True: x.append(bytearray(1 << 20))", seconds=20).ended
    assert not run_python("import os\nwhile True: print('x' * 10_000_000)", seconds=5).ended
    assert not run_python("for i in range(100_000):\n  open(str(i), 'w').write('x' * (1 << 24))", seconds=10).ended


def test_files_of_others_are_closed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "free").mkdir(mode=0o777)
    for program in (
        f"print(open({str(secret)!r}).read())",
        f"open({str(secret)!r}, 'w')",
        f"import os; os.remove({str(secret)!r})",
        f"import os; os.rename({str(secret)!r}, 'mine')",
        f"import os; os.chmod({str(secret)!r}, 0o777)",
        f"import os; os.utime({str(secret)!r}, (0, 0))",
        f"import os; os.symlink({str(secret)!r}, 'link'); print(open('link').read())",
        f"import os; os.link({str(secret)!r}, 'link'); print(open('link').read())",
        f"open({str(tmp_path / 'free' / 'new')!r}, 'w')",
        f"import os; print(os.listdir({str(tmp_path)!r}))",
        "print(open('/etc/passwd').read())",
        "print(open('/proc/self/environ').read())",
        "import os; print(open(f'/proc/{os.getppid()}/environ').read())",
        "import os; os.mkfifo('/tmp/pipe')",
    ):
        found = run_python(program)
        assert not found.ended and "Error" in found.why, program
    assert secret.read_text() == "secret" and secret.stat().st_mtime > 0 and secret.stat().st_mode & 0o777 != 0o777
    assert list((tmp_path / "free").iterdir()) == []


def test_nobody_is_reached_over_the_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for program in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}))",
            f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')",
            "import socket; socket.socket(socket.AF_UNIX)",
            "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        ):
            assert not run_python(program).ended
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_others_get_no_signal() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for target in (other.pid, -1, 0, os.getpid()):
            assert "PermissionError" in run_python(f"import os; os.kill({target}, {int(signal.SIGKILL)})").why
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_limits_cannot_be_lifted() -> None:
    for call in (
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "resource.prlimit(0, resource.RLIMIT_CPU, (-1, -1))",
    ):
        assert "Error" in run_python(f"import resource; {call}").why
    assert (
        run_python("import os; print(sorted(os.environ))").said
        == "['LANG', 'OMP_NUM_THREADS', 'PYTHONDONTWRITEBYTECODE']\n"
    )


def test_many_run_side_by_side_and_after_each_other() -> None:
    programs = [
        "while True: pass",
        "print('a')",
        "import os\nwhile True: os.fork()",
        "x = bytearray(10 << 30)",
        "print('b')",
    ] * 2
    before = threading.active_count()  # servers of other tests may have threads of their own
    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(lambda program: run_python(program, seconds=2), programs))
    assert [run.said for run in ran] == ["", "a\n", "", "", "b\n"] * 2
    assert threading.active_count() <= before


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Wardens that do something else before they begin."""
    kept, sandbox._idle[:] = sandbox._idle[:], []

    def starts(first: str) -> None:
        monkeypatch.setattr(sandbox, "_START", sandbox._START.replace("warden.main()", first + "\nwarden.main()"))

    yield starts
    sandbox._end_all()
    sandbox._idle[:] = kept


def test_nothing_is_run_where_it_is_not_safe(started: Callable[[str], None]) -> None:
    started("from tunesmith.jail import walls\nwalls._LANDLOCK = (9999, 445, 446)")
    for _ in range(2):
        with pytest.raises(EvalError, match=r"cannot be run safely.*Landlock"):
            run_python("open('ran', 'w')")
        with pytest.raises(EvalError, match=r"cannot be run safely.*Landlock"):
            run_tests("x = 1", "assert x == 1")


def test_elsewhere_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(EvalError, match="on Linux only"):
        run_python("print(1)")


PLAIN = "from tunesmith.jail import folder\nfolder._own_namespace = lambda: False"
ORDINARY = """
import ctypes, os
import importlib
for name in (*warden.READY, "mmap"):
    importlib.import_module(name)
os.chown(sys.argv[1], 65534, 65534)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process that never was root
"""


@pytest.fixture(
    params=["", PLAIN, ORDINARY, ORDINARY + PLAIN], ids=["as it is", "plain", "ordinary", "ordinary, plain"]
)
def anyhow(started: Callable[[str], None], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without rights, with and without namespaces."""
    if "setresuid" in request.param and os.getuid():
        pytest.skip("only root can become somebody else")
    if Path("/dev/shm").is_dir():  # removing folders takes long on some disks
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    started(request.param)
    return str(request.param)


DEEP = "import os\nfor i in range({}):\n    os.mkdir('d' * 9)\n    os.chdir('d' * 9)\nopen('last', 'w').write('x')\n"


def test_a_folder_deeper_than_any_path(anyhow: str) -> None:
    """It neither ends the scoring nor stays."""
    before = set(_leftovers())
    for program in (DEEP.format(1200), DEEP.format(1200) + "while True: pass"):
        found = run_python(program, seconds=2)
        assert found.ended or "longer than 2 seconds" in found.why
    assert run_python("import os; print(os.listdir('.'))").said == "[]\n"
    (warden,) = sandbox._idle
    assert set(_leftovers()) - before == {warden.base}
    sandbox._end_all()
    assert set(_leftovers()) - before == set()


@pytest.mark.full
def test_twenty_thousand_folders_within_each_other(anyhow: str) -> None:
    assert not run_python(DEEP.format(20_000), seconds=20).ended
    assert run_python("import os; print(os.listdir('.'))").said == "[]\n"


def _leftovers() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("program-*"))


FILLS = {
    "one name each": "open(str(i), 'w')",
    "no name any more": "open('x', 'w'); os.remove('x')",
    "never a name": "open(os.open('.', os.O_TMPFILE | os.O_RDWR), 'w')",
    "another's name": "open('x', 'w'); os.rename('x', 'y')",
    "in folders that nobody may read": "(os.mkdir(str(i), 0o300), open(f'{i}/x', 'w'))[1]",
    "mapped and closed": "open('x', 'w+')",
}


@pytest.mark.parametrize("way", FILLS)
def test_the_limit_of_the_folder_holds(anyhow: str, way: str) -> None:
    program = f"""
import mmap, os, time
written, files, maps = 0, [], []
print(0, flush=True)
for i in range(60):
    file = {FILLS[way]}
    file.write('x' * (12 << 20))
    file.flush()
    if {way == "mapped and closed"}:
        maps.append(mmap.mmap(file.fileno(), 0))
        file.close()
        os.remove('x')
    files.append(file)
    written += 12
    print(written, flush=True)
"""
    found = run_python(program, seconds=20)
    assert not found.ended
    # Where the folder is no file system of its own, it is looked at every few milliseconds.
    assert int(found.said.split()[-1]) <= (64 if not anyhow.endswith(PLAIN) else 720)
    assert "wrote more than 64 MB" in found.why or "Error" in found.why
    assert run_python("open('x', 'w').write('x' * 1000); print(open('x').read())").said == "x" * 1000 + "\n"


def test_so_many_files_and_no_more(anyhow: str) -> None:
    found = run_python("for i in range(20_000): open(str(i), 'w').close()", seconds=20)
    assert not found.ended and ("No space" in found.why or "wrote more" in found.why)


def test_a_status_of_its_own_does_not_end_the_scoring() -> None:
    for status in (97, 1, 255):
        found = run_python(f"import os; os._exit({status})")
        assert not found.ended and str(status) in found.why


def test_no_program_outlives_its_warden(started: Callable[[str], None]) -> None:
    started("")
    assert run_python("print(1)").ended
    (warden,) = sandbox._idle
    program = "import ctypes\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nwhile True: pass"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_python, program, seconds=60)
        _until(lambda: _processes(warden.base) == 2)
        os.kill(warden.process.pid, signal.SIGKILL)
        with pytest.raises(EvalError, match="could not be run"):
            running.result(timeout=30)
    _until(lambda: _processes(warden.base) == 0)
    assert not warden.base.exists()


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true() and time.monotonic() < limit:
        time.sleep(0.02)
    assert true()


def test_wardens_end_with_their_client(tmp_path: Path) -> None:
    """Also when that is killed, and with all that they run."""
    client = subprocess.Popen(
        [sys.executable, "-c", "from tunesmith.evals.sandbox import *\nrun_python('1')\n"
            "run_python('while True: pass', seconds=60)"],
        env={**os.environ, "PYTHONPATH": str(Path(sandbox.__file__).parents[2]), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    _until(lambda: _processes(tmp_path) == 2)
    client.kill()
    client.wait()
    _until(lambda: _processes(tmp_path) == 0)
    _until(lambda: not list(tmp_path.iterdir()))


def test_a_fork_has_wardens_of_its_own() -> None:
    assert run_python("print(1)").said == "1\n"
    pid = os.fork()
    if not pid:
        os._exit(0 if run_python("print(2)").said == "2\n" and not sandbox._end_all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run_python("print(3)").said == "3\n"


def test_texts_that_are_hard_to_pass_on() -> None:
    assert not run_python("\x00").ended
    assert not run_python("print('\ud83d')").ended
    assert run_python("").ended
    assert run_python("# " + "x" * 3_000_000 + "\nprint(1)").said == "1\n"
