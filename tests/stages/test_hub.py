"""A model of the hub in a recipe, found in the hub's cache as it lies there after a download."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.test_export import a_model
from tunesmith.core.errors import RecipeError
from tunesmith.pipeline import recipe

RECIPE = """\
name: small
stages:
  build: {{kind: build, tasks: [{tasks}], held_out: {place}/held_out.yaml}}
  tune: {{kind: sft, model: "{model}", data: build, train: {{steps: 2, batch_tokens: 256, row_length: 128,
          adapter: {{rank: 2}}}}}}
"""


def in_cache(home: Path, tmp_path: Path) -> str:
    """Lay a model where ``huggingface_hub`` keeps it: blobs, links to them by revision, and what main is."""
    model = a_model(tmp_path / "made")
    folder, commit = home / "hub" / "models--we--little", "c" * 40
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for i, file in enumerate(sorted(model.iterdir())):
        (folder / "blobs" / str(i)).write_bytes(file.read_bytes())
        (folder / "snapshots" / commit / file.name).symlink_to(Path("..", "..", "blobs", str(i)))
    return commit


@pytest.mark.parametrize("revision", ["@commit", *(pytest.param(r, marks=pytest.mark.full) for r in ("", "@main"))])
def test_it_is_trained_from_the_cache(revision: str, tmp_path: Path, tasks: Path) -> None:
    commit = in_cache(tmp_path / "home", tmp_path)
    name = "hub:we/little" + revision.replace("commit", commit)
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE.format(tasks=tasks, place=tmp_path, model=name))
    env = {
        **os.environ,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(tmp_path / "home/hub"),
    }
    command = [sys.executable, "-m", "tunesmith.cli", "train", str(file), "--out", str(tmp_path / "out")]
    for said in ("done in", "Nothing to do"):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and said in done.stdout, done.stderr[-2000:]
    about = json.loads((tmp_path / "out" / "tune" / "adapter" / "adapter_config.json").read_text())
    assert about["base_model_name_or_path"] == "we/little"
    other = file.read_text().replace(name, "hub:we/lost")
    file.write_text(other)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "hf download we/lost" in done.stderr


def test_a_name_that_is_none(tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'hub:little' is not hub:owner/model"):
        recipe.parse(RECIPE.format(tasks=tasks, place=tmp_path, model="hub:little"))
