"""The program as a person meets it: help that comes at once, and errors that are one message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith import cli

VERBS = ("quickstart", "run", "train", "eval", "data", "show", "chat", "doctor")


def tunesmith(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tunesmith.cli", *args], capture_output=True, text=True, cwd=cwd, timeout=120
    )


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out + out.err


def test_help_names_every_verb_and_where_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "--help")
    assert code == 0
    assert all(verb in text for verb in VERBS)
    assert "tunesmith quickstart" in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, verb, "--help")
    assert code == 0
    assert len(text.splitlines()) > 5


def test_importing_the_program_loads_nothing_heavy() -> None:
    code = (
        "import sys, tunesmith.cli\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'pydantic', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_checking_a_recipe_loads_no_torch() -> None:
    code = (
        "import sys, tunesmith.pipeline.recipe as r\nr.load('quickstart')\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_error_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nstages:\n  a: {kind: biuld}\n")
    run = tunesmith("run", "bad.yaml", cwd=tmp_path)
    assert run.returncode == 1
    assert "bad.yaml:3: stages.a.kind: stage kind 'biuld' is not known; did you mean 'build'?" in run.stderr
    assert "Traceback" not in run.stderr
    shown = tunesmith("run", "bad.yaml", "--debug", cwd=tmp_path)
    assert "Traceback" in shown.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from tunesmith import __version__

    assert said(capsys, "--version") == (0, f"tunesmith {__version__}\n")


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "run", "--schema")
    assert code == 0
    assert set(json.loads(text)["properties"]) == {"name", "seed", "result", "plugins", "stages"}


def test_the_built_in_recipe_is_checked_from_anywhere(tmp_path: Path) -> None:
    run = tunesmith("run", "quickstart", "--check", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "is fine" in run.stdout and "pretrain" in run.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("run",), "Which recipe?"),
        (("run", "quikstart"), "Did you mean 'quickstart'?"),
        (("run", "quickstart", "--check", "--set", "tune.train.stepps=3"), "did you mean 'steps'?"),
        (("run", "quickstart", "--check", "--set", "tune"), "wanted STAGE.KEY=VALUE"),
        (("chat", "no-such-run"), "There is no folder"),
        (("show", "no-such-run"), "There is no folder"),
    ],
)
def test_what_an_error_says(args: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, *args)
    assert code == 1
    assert told in text
