"""A recipe run by several processes gives what one gives; the job script for SLURM is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
from typer.testing import CliRunner

from tests.stages.test_pipeline import RECIPE
from tunesmith.cli import app


def test_a_recipe_run_by_two_processes(tmp_path: Path, tasks: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.format(tasks=tasks, place=tmp_path))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    said = {}
    for name, launch in (("one", []), ("two", ["launch", "--ranks", "2"])):
        command = [sys.executable, "-m", "tunesmith.cli", *launch, "train", str(recipe), "--out", str(tmp_path / name)]
        sets = ["--set", "pretrain.train.precision=fp32", "--set", "tune.train.precision=fp32"]
        done = subprocess.run([*command, *sets], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        said[name] = done.stdout
    assert said["two"].count("The model:") == 1  # one process talks
    one, two = (safetensors.torch.load_file(tmp_path / n / "tune" / "model" / "model.safetensors") for n in said)
    assert one.keys() == two.keys()
    # Where a gradient is nearly zero, the optimizer follows its rounding: weights differ more than losses do.
    assert all(float((one[k] - two[k]).abs().max()) < 1e-2 * float(one[k].abs().max()) for k in one)
    for stage in ("pretrain", "tune"):
        files = [(tmp_path / name / stage / "metrics.jsonl").read_text().splitlines() for name in said]
        losses = [[json.loads(line)["loss"] for line in lines] for lines in files]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_job_for_slurm() -> None:
    done = CliRunner().invoke(
        app, ["launch", "--ranks", "8", "--nodes", "2", "--slurm", "train", "my.yaml", "--again", "tune"]
    )
    assert done.exit_code == 0
    assert "#SBATCH --nodes=2" in done.stdout and "#SBATCH --gpus-per-node=8" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("srun torchrun --nnodes=2 --nproc-per-node=8 --max-restarts=3")
    assert last.endswith("-m tunesmith.cli train my.yaml --again tune")
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
