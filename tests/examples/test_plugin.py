"""The example of a plug-in: installed from its folder, and used by its recipe with two workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.conftest import place
from tests.test_docs import ROOT

__all__ = ["place"]
EXAMPLE = ROOT / "examples" / "plugin"
TINY = ["--set", "tune.train.epochs=1", "--set", "eval.max_new_tokens=8"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has put the package."""
    here = tmp_path_factory.mktemp("plugin")
    shutil.copytree(EXAMPLE, here / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(here / "site"), str(here / "source")]
    subprocess.run(pip, check=True)
    return here / "site"


def run(place: Path, *arguments: str, also: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([also, str(ROOT / "src")]) if also else str(ROOT / "src")
    command = [sys.executable, "-m", "tunesmith.cli", *arguments]
    return subprocess.run(command, cwd=place, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


def test_the_recipe_of_the_installed_plugin(installed: Path, place: Path) -> None:
    for name in ("recipe.yaml", "tickets.yaml", "tickets.jsonl"):
        shutil.copy(EXAMPLE / name, place)
    assert "workers: 2" in (place / "recipe.yaml").read_text()
    done = run(place, "run", "recipe.yaml", *TINY, also=str(installed))
    assert done.returncode == 0, done.stderr
    assert "1 row set aside: a post is by 'robot', wanted customer or agent" in " ".join(done.stdout.split())
    out = place / "runs" / "tickets"
    answers = [json.loads(line) for line in (out / "eval" / "answers.jsonl").read_text().splitlines()]
    assert {row["metric"] for row in answers} == {"word_recall"}
    assert json.loads((out / "tune" / "run.json").read_text())["objective"] == "focal"
    # The code of the plug-in is part of the keys of what depends on it.
    parts = {name: json.loads((out / name / "stage.json").read_text())["parts"]["code"] for name in ("build", "tune")}
    assert all("plug-in tunesmith_tickets" in code for code in parts.values())

    again = run(place, "run", "recipe.yaml", *TINY, also=str(installed))
    assert "Nothing to do" in again.stdout, again.stderr
    alone = run(place, "run", "recipe.yaml", "--check")
    assert alone.returncode == 1 and "reader 'tickets' is not known" in alone.stderr


@pytest.mark.full
def test_the_same_by_the_names_of_its_files(place: Path) -> None:
    shutil.copytree(EXAMPLE, place, dirs_exist_ok=True)
    text = (EXAMPLE / "recipe.yaml").read_text()
    assert "# plugins: [" in text
    (place / "recipe.yaml").write_text(text.replace("# plugins: [", "plugins: ["))
    done = run(place, "run", "recipe.yaml", "--only", "build")
    assert done.returncode == 0, done.stderr
    code = json.loads((place / "runs/tickets/build/stage.json").read_text())["parts"]["code"]
    assert "plug-in reader.py" in code and "plug-in metric.py" not in code

    (place / "tunesmith_tickets" / "metric.py").write_text((EXAMPLE / "tunesmith_tickets/metric.py").read_text() + "\n")
    assert "Nothing to do" in run(place, "run", "recipe.yaml", "--only", "build").stdout
    file = place / "tunesmith_tickets" / "reader.py"
    file.write_text(file.read_text().replace("by {min(unknown)!r}", "of {min(unknown)!r}"))
    changed = " ".join(run(place, "run", "recipe.yaml", "--only", "build").stdout.split())
    assert "again: the code of plug-in reader.py changed" in changed and "a post is of 'robot'" in changed
    found = run(place, "--plugin", "tunesmith_tickets/reader.py", "data", "detect", "tickets.jsonl")
    assert "reader 'tickets'" in found.stdout, found.stderr
