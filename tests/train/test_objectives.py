"""A new objective is one file in the folder: nobody lists them by name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tunesmith
from tunesmith.train import objectives

SRC = Path(str(tunesmith.__file__)).parent
FILES = sorted(path.stem for path in Path(objectives.__file__).parent.glob("*.py") if path.stem != "__init__")


def test_every_file_of_the_folder_registers_its_objective() -> None:
    assert FILES == ["pretrain", "sft"] == list(objectives.OBJECTIVES)


def test_a_file_that_is_put_there_is_known(tmp_path: Path) -> None:
    """In a copy of the package with one more file, and nothing else changed."""
    shutil.copytree(SRC, tmp_path / "tunesmith", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tunesmith" / "train" / "objectives" / "new.py").write_text(
        "from tunesmith.train.objective import OBJECTIVES\n"
        "from tunesmith.train.objectives.sft import Sft\n"
        "OBJECTIVES.add('new')(Sft())\n"
    )
    code = "from tunesmith.train.trainer import OBJECTIVES\nprint(*OBJECTIVES)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["new", "pretrain", "sft"]


def test_no_shared_file_imports_an_objective() -> None:
    shared = [path for path in SRC.rglob("*.py") if path.parent.name != "objectives"]
    named = re.compile(rf"train\.objectives(\.| import .*\b)({'|'.join(FILES)})\b")
    assert [str(path) for path in shared if named.search(path.read_text(encoding="utf-8"))] == []
