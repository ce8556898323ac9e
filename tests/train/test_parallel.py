"""Several processes learn what one learns: whole or divided, killed or resumed with another number of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

ROOT = Path(__file__).parents[2]
LONG = 1200
"""Seconds after which a process that hangs is given up: far longer than any machine needs, however busy."""
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
    arguments = [json.dumps({"precision": "fp32", **changed}), str(stop)]
    return launch(PROGRAM, out, ranks, *arguments, restarts=restarts)


def launch(program: str, out: Path, ranks: int, *arguments: str, restarts: int = 0) -> subprocess.Popen[str]:
    file = out.parent / "program.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(program)
    run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [sys.executable, *(run if ranks > 1 else []), *([f"--max-restarts={restarts}"] if ranks > 1 else [])]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [*command, str(file), str(out), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    said, errors = process.communicate(timeout=LONG)
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


MANY_MATRICES = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
torch.set_num_threads(1)
from tunesmith.train import optim
from tunesmith.train.optim import Optimizer, Weights, orthogonalise
from tunesmith.train.parallel import Ranks
ranks = Ranks.join()
optim.AT_ONCE, optim.bf16_is_fast = 1 << 17, lambda device: False
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
torch.manual_seed(0)
grads = [torch.randn(rows, columns) for rows, columns in [(257, 512)] * 61 + [(64, 40)] * 3]
net = nn.Sequential(*[nn.Linear(g.shape[1], g.shape[0], bias=False) for g in grads])
before = [layer.weight.detach().clone() for layer in net]
if ranks.size > 1:
    fully_shard(net)
weights = Weights(net, optimizer="muon", dtype=torch.float32, ranks=ranks)
optimizer = Optimizer(weights, weight_decay=0.0)
for name, s in zip(weights.names, weights.slices):
    grad = grads[int(name.split(".")[0])]
    first, last = ranks.rows(grad.shape[0]) if ranks.size > 1 else (0, grad.shape[0])
    weights.grad[s] = grad[first:last].reshape(-1)
Path("/proc/self/clear_refs").write_text("5")
resident = memory("VmRSS")
optimizer.step(1.0)
rise = memory("VmHWM") - resident
found = weights.whole()
if ranks.first:
    for i, (grad, old) in enumerate(zip(grads, before)):
        # The first step of momentum: all of it is a share of the gradient, and only its direction counts.
        wanted = old - 0.2 * max(grad.shape) ** 0.5 * orthogonalise(grad[None])[0]
        assert torch.allclose(found[f"{i}.weight"], wanted, atol=2e-2), i
print(json.dumps(rise), flush=True)
"""


def test_muon_holds_few_whole_matrices_at_a_time(tmp_path: Path) -> None:
    """61 matrices of half a megabyte, on two ranks: 31 MB in one piece, of which several copies were made."""
    said = finish(launch(MANY_MATRICES, tmp_path / "two", 2))
    assert max(map(float, said.split())) < 24  # it was 160
    finish(launch(MANY_MATRICES, tmp_path / "one", 1))


FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 4},
    "qwen3_moe": {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2},
    "mamba": {"num_hidden_layers": 2, "state_size": 4},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0},
}
FAMILIES["mixtral"] |= {"hidden_size": 16, "intermediate_size": 32}
FAMILIES["qwen3_moe"] |= {"hidden_size": 16, "intermediate_size": 32, "moe_intermediate_size": 16}
FAMILIES["mamba"] |= {"hidden_size": 16}
FAMILIES["bloom"] = {"hidden_size": 16, "n_layer": 2, "n_head": 2}
SIDE_BY_SIDE = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.train.test_loop import settings, store
from tunesmith.train.loop import train
out, families = Path(sys.argv[1]), json.loads(sys.argv[2])
for name, model in families.items():
    made = {"model_type": name, "vocab_size": 50, "eos_token_id": 0, "pad_token_id": 0, **model}
    made |= {} if name == "t5" else {"bos_token_id": 0}
    chosen = settings(steps=4, precision="fp32", shard=True, optimizer="adamw", lr=1e-3, save_every=100)
    train(made, "sft", {"a": store(200, 7)}, {"a": 1.0}, chosen, out / name, progress=False)
    print(name, flush=True)
"""


def test_models_that_are_not_packed_are_divided_too(tmp_path: Path) -> None:
    """Their ranks have documents of other lengths, so other numbers of passes, and gather each layer together."""
    arguments = json.dumps(FAMILIES)
    for ranks, name in ((1, "one"), (2, "two")):
        finish(launch(SIDE_BY_SIDE, tmp_path / name, ranks, arguments))
    for name in FAMILIES:
        one, two = losses(tmp_path / "one" / name), losses(tmp_path / "two" / name)
        assert len(one) == len(two) == 4
        assert max(abs(a - b) / a for a, b in zip(one, two, strict=True)) < 1e-5, name
        assert near(weights(tmp_path / "one" / name), weights(tmp_path / "two" / name), 2e-4), name


def killed_and_resumed(tmp_path: Path, before: int, after: int, **changed: Any) -> None:
    """The run is killed at step 8, five steps after its last checkpoint, and goes on with other ranks."""
    settings = {"steps": 12, "save_every": 3, "lr": 1e-3, **changed}
    finish(start(tmp_path / "whole", 1, **settings))
    broken = start(tmp_path / "out", before, stop=8, **settings)
    said, errors = broken.communicate(timeout=LONG)
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
    said, _ = process.communicate(timeout=LONG)
    assert said.split().count("7") == 2  # the second try began after step 6


@pytest.mark.full
def test_asked_to_stop_all_ranks_save_and_end(tmp_path: Path) -> None:
    process = start(tmp_path / "out", 2, steps=4000, save_every=1000, shard=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 5:
            break
    process.terminate()
    process.communicate(timeout=LONG)
    time.sleep(0.1)
    newest = json.loads((tmp_path / "out" / "checkpoints" / "latest" / "checkpoint.json").read_text())
    assert 5 <= newest["step"] < 1000
