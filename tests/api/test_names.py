"""What ``import tunesmith as ts`` offers: exactly these names, and nothing heavy before one of them is used."""

from __future__ import annotations

import ast
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith as ts

FILE = Path(str(ts.__file__))
NAMES = [
    "Answer",
    "Batch",
    "ChatError",
    "CheckpointError",
    "Comparison",
    "Completion",
    "Conversation",
    "Data",
    "DataError",
    "Encoded",
    "EncodedMany",
    "EvalError",
    "Example",
    "Fitted",
    "From",
    "HeldOut",
    "Job",
    "Key",
    "Loss",
    "Message",
    "Model",
    "Objective",
    "Plan",
    "PluginError",
    "Policy",
    "RecipeError",
    "Record",
    "Results",
    "Row",
    "Score",
    "SetAside",
    "Settings",
    "Sign",
    "Source",
    "Stage",
    "Step",
    "Suite",
    "Task",
    "TokenStore",
    "TrainError",
    "TrainSettings",
    "Trainer",
    "TunesmithError",
    "UnknownName",
    "Unusable",
    "__version__",
    "build",
    "collate",
    "constraint",
    "evaluate",
    "fit",
    "has",
    "load",
    "make_plan",
    "metric",
    "objective",
    "read",
    "reader",
    "results",
    "row_reader",
    "run",
    "stage",
    "step",
    "tasks",
]
HEAVY = ("torch", "transformers", "tokenizers", "numpy", "pyarrow", "pandas", "polars", "datasets", "scipy", "aiohttp")
SECONDS = 0.3


def test_the_public_names_are_these() -> None:
    """A name that goes or comes breaks or binds those who build on us: it has to be meant."""
    assert sorted(ts.__all__) == sorted(NAMES) == dir(ts)
    assert len(set(ts.__all__)) == len(ts.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(ts, name)
    assert name == "__version__" or (found.__doc__ or "").strip()


def test_a_type_checker_sees_the_same_names_from_the_same_files() -> None:
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "_TYPE_CHECKING")
    seen = {
        alias.name: node.module.removeprefix("tunesmith.")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert seen == ts._FILE_OF


def test_no_name_is_that_of_a_room() -> None:
    """``tunesmith.train`` becomes the package as soon as somebody imports a file of it."""
    rooms = {path.stem for path in FILE.parent.iterdir() if path.suffix in ("", ".py")}
    assert rooms & set(ts.__all__) == set()


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'tunesmith' has no attribute 'lode'"):
        _ = ts.lode  # type: ignore[attr-defined]


def loaded(*arguments: str) -> list[str]:
    """The heavy modules that are loaded after a piece of code, in a process of its own."""
    code = f"{arguments[0]}\nimport sys, json\nprint(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


HELP = "import contextlib\nfrom tunesmith.cli import main\nwith contextlib.suppress(SystemExit): main(['--help'])"


@pytest.mark.parametrize("code", ["import tunesmith as ts; dir(ts); ts.__version__; ts.RecipeError", HELP])
def test_nothing_heavy_is_imported_before_it_is_used(code: str) -> None:
    assert loaded(code) == []
    assert "torch" in loaded("import tunesmith as ts; ts.Trainer")  # so the test can fail


@pytest.mark.parametrize("code", ["import tunesmith", HELP])
def test_it_takes_no_time(code: str) -> None:
    def seconds() -> float:
        """Of the processor, not of the clock: the machine may be busy."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) <= SECONDS
