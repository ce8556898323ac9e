"""Several processes learn what one learns: whole or divided, killed or resumed with another number of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.train.test_loop import MODEL, settings, store
from tunesmith.train.loop import train
out, changed, stop = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
def note(event):
    print(event.step, flush=True)
    if event.step == stop:
        os._exit(9)
model = {**MODEL, **changed.pop("model", {})}
train(model, "sft", {"a": store(), "b": store(40, 1)}, {"a": 0.7, "b": 0.3}, settings(**changed), out,
      on_event=note, progress=False)
"""


def start(out: Path, ranks: int, stop: int = 0, restarts: int = 0, **changed: Any) -> subprocess.Popen[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = out.parent / "program.py"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(PROGRAM)
    run = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", f"--master-port={port}"]
    command = [sys.executable, *(run if ranks > 1 else []), *([f"--max-restarts={restarts}"] if ranks > 1 else [])]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [str(program), str(out), json.dumps({"precision": "fp32", **changed}), str(stop)]
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors[-3000:]
    return said


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "model" / "model.safetensors")


def near(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], most: float) -> bool:
    return a.keys() == b.keys() and all(float((a[k] - b[k]).abs().max()) < most for k in a)


WAYS: dict[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw"},
    "muon": {},
    "divided": {"optimizer": "adamw", "shard": True},
    "divided adamw8": {"optimizer": "adamw8", "shard": True},
    "divided muon": {"shard": True, "model": {"tie_word_embeddings": False}},
    "divided, on the CPU, computed again": {"shard": True, "offload": True, "recompute": True},
    "divided adapter": {"shard": True, "adapter": {"rank": 4}},
}


@pytest.mark.parametrize(("way", "ranks"), [("divided muon", 2)])
def test_so_many_ranks_learn_what_one_learns(way: str, ranks: int, tmp_path: Path) -> None:
    compare(way, ranks, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("ranks", [2, 4, 5])
@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_ranks_learns_what_one_learns(way: str, ranks: int, tmp_path: Path) -> None:
    compare(way, ranks, tmp_path)


def compare(way: str, ranks: int, tmp_path: Path) -> None:
    changed = {**WAYS[way], "steps": 12, "save_every": 6, "lr": 1e-3}
    finish(start(tmp_path / "one", 1, **changed))
    finish(start(tmp_path / "many", ranks, **changed))
    one, many = losses(tmp_path / "one"), losses(tmp_path / "many")
    assert len(one) == len(many) == 12
    assert max(abs(a - b) / a for a, b in zip(one, many, strict=True)) < 1e-5
    assert near(weights(tmp_path / "one"), weights(tmp_path / "many"), 2e-4)


def killed_and_resumed(tmp_path: Path, before: int, after: int, **changed: Any) -> None:
    """The run is killed at step 8, five steps after its last checkpoint, and goes on with other ranks."""
    settings = {"steps": 12, "save_every": 3, "lr": 1e-3, **changed}
    finish(start(tmp_path / "whole", 1, **settings))
    broken = start(tmp_path / "out", before, stop=8, **settings)
    said, errors = broken.communicate(timeout=180)
    assert broken.returncode != 0 and said.split()[-1] == "8"
    if before > 1:
        assert "goes on from its newest checkpoint" in errors
    said = finish(start(tmp_path / "out", after, **settings))
    assert said.split()[0] == "7"
    whole, out = losses(tmp_path / "whole"), losses(tmp_path / "out")
    assert len(whole) == len(out) == 12
    assert max(abs(a - b) / a for a, b in zip(whole, out, strict=True)) < 1e-5
    assert near(weights(tmp_path / "whole"), weights(tmp_path / "out"), 2e-4)


@pytest.mark.parametrize(("before", "after"), [(2, 1)])
def test_a_checkpoint_of_some_ranks_is_read_by_others(before: int, after: int, tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, before, after, shard=True)


@pytest.mark.full
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (4, 2), (4, 3), (3, 1)])
@pytest.mark.parametrize("shard", [True, False])
def test_a_checkpoint_of_any_ranks_is_read_by_any(before: int, after: int, shard: bool, tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, before, after, shard=shard)


@pytest.mark.full
def test_torchrun_starts_it_again(tmp_path: Path) -> None:
    """A rank dies at step 8 of each try that passes it: torchrun's restart goes on from the checkpoint of step 6."""
    process = start(tmp_path / "out", 2, stop=8, restarts=1, steps=12, save_every=3)
    said, _ = process.communicate(timeout=180)
    assert said.split().count("7") == 2  # the second try began after step 6


@pytest.mark.full
def test_asked_to_stop_all_ranks_save_and_end(tmp_path: Path) -> None:
    process = start(tmp_path / "out", 2, steps=4000, save_every=1000, shard=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 5:
            break
    process.terminate()
    process.communicate(timeout=60)
    time.sleep(0.1)
    newest = json.loads((tmp_path / "out" / "checkpoints" / "latest" / "checkpoint.json").read_text())
    assert 5 <= newest["step"] < 1000
