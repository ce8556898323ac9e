"""Every command with bad arguments and bad files ends in one line: no traceback, no hang, no fault of ours.

Each command is called in this process with each argument replaced by something bad in turn. A setting that no recipe
has keeps a command from starting anything long.
"""

from __future__ import annotations

import gzip
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tunesmith import cli

# What is always given, so that nothing long is started; and how many arguments without a name a command takes.
COMMANDS: dict[tuple[str, ...], tuple[list[str], list[str]]] = {
    ("run",): (["x.yaml"], ["--check"]),
    ("train",): (["x.yaml"], ["--set", "no.such=1"]),
    ("quickstart",): ([], ["--set", "no.such=1"]),
    ("eval", "run"): (["x.yaml"], ["--set", "no.such=1"]),
    ("eval", "ask"): (["x.yaml", "model"], []),
    ("eval", "diff"): (["a", "b"], []),
    ("eval", "judge"): (["a", "b"], ["--by", "x"]),
    ("eval", "page"): (["a"], []),
    ("eval", "harness"): (["a"], ["--task", "x"]),
    ("ablate",): (["x.yaml"], ["--check"]),
    ("export",): (["a", "b"], []),
    ("show",): (["a"], []),
    ("chat",): (["a", "hello"], []),
    ("data", "tasks"): ([], []),
    ("data", "templates"): (["capital.en"], []),
    ("data", "sample"): (["capital.en"], []),
    ("data", "detect"): (["a"], []),
    ("data", "lint"): ([], []),
    ("data", "leaks"): (["a"], ["--against", "b"]),
    ("data", "build"): (["a"], ["--out", "built", "--workers", "1"]),
    ("data", "card"): (["a"], []),
    ("data", "explain"): (["x:1", "a"], []),
    ("data", "export"): (["a"], ["--out", "out.jsonl"]),
}
WORDS = [
    "",
    " ",
    "x" * 5000,
    "caf\udce9",
    "a\nb",
    "\x1b[31m",
    "-1",
    "nan",
    "1e400",
    "9" * 24,
    "hub:../../etc",
    "hub:",
    "hub:a/b/c",
    "http://[::1",
    "http://127.0.0.1:9/v1#m",
    "/dev/null",
    "/dev/full",
    "/",
    "..",
    "~nobody/x",
    "[",
    "{}",
    "&a [*a]",
    "#",
    "=",
    "a=",
    "a#b#c",
    "2026-99-99",
    "{{ 9999**9999 }}",
    "empty",
    "binary",
    "zeros.json",
    "deep.json",
    "cut.jsonl.gz",
    "loop",
    "folder",
    "utf16.yaml",
    "laughs.yaml",
    "config.json",
    "model",
]
SETTINGS = [
    "x=2026-99-99",
    "tune=1",
    "=",
    "tune.train.lr=.inf",
    "tune.train.lr=1e999",
    "tune.train.steps=" + "9" * 5000,
    "a.b.c.d=1",
    "tune.train={}",
    "tune.train.lr=!!python/object:os.system {}",
    "tune.train.steps=[" * 50,
    "seed=x",
    "tune.train.steps=true",
    "tune.kind=\x00",
]
SECONDS = 30
"""What a refusal may take at most, on a busy machine."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of each kind of bad file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(random.Random(0).randbytes(4096))
    (tmp_path / "zeros.json").write_bytes(bytes(1000))
    (tmp_path / "deep.json").write_text("[" * 50_000)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"messages": []}\n' * 1000)[:-20])
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "utf16.yaml").write_text("name: x\nstages: {}\n", encoding="utf-16")
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    (tmp_path / "laughs.yaml").write_text(laughs)
    (tmp_path / "config.json").symlink_to("/dev/zero")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "hidden_size": -1}')
    (model / "stages.json").write_text("[" * 50_000)
    return tmp_path


@contextmanager
def limit(what: object) -> Iterator[None]:
    """Fail, and say at what, where something hangs."""

    def over(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{what} still runs after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ends_well(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is wrong with how a command ended; nothing where it ended as it should."""
    with limit(args):
        try:
            cli.main(args)
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:
            return f"{args}: left as {type(error).__name__}: {error}"
    told = capsys.readouterr().err
    if code not in (0, 1, 2):
        return f"{args}: exit code {code}: {told[-300:]}"
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    return "" if code == 0 or len(errors) == 1 or not told.strip() else f"{args}: {told[:300]!r}"


def calls() -> Iterator[list[str]]:
    """Each command with each of its arguments replaced, one at a time."""
    for command, (places, always) in COMMANDS.items():
        for spot in range(len(places)):
            for word in WORDS:
                yield [*command, *always, "--", *places[:spot], word, *places[spot + 1 :]]
        if command in (("run",), ("train",), ("quickstart",), ("eval", "run")):
            recipe = places and ["quickstart"]
            yield from ([*command, *always, "--set", setting, *recipe] for setting in SETTINGS)
        for name in ("--out", "--seed", "--tasks", "--held-out", "--html", "--trained-on", "--price", "-t", "--limit"):
            yield from ([*command, name, word, *always, *places] for word in WORDS if "\0" not in word)


ALL = list(calls())


@pytest.mark.parametrize("part", range(2))
def test_some_bad_arguments(part: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = random.Random(part).sample(ALL, 30)
    assert [wrong for args in drawn if (wrong := ends_well(args, capsys))] == []


@pytest.mark.full
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_bad_argument(command: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = [args for args in ALL if tuple(args[: len(command)]) == command]
    assert [wrong for args in mine if (wrong := ends_well(args, capsys))] == []
