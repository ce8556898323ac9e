"""The loop: killed, stopped, damaged or misused, a run says so, and ends with the same weights to the last bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from tunesmith.core.errors import CheckpointError, NonFiniteLoss, RunLocked
from tunesmith.core.lock import run_lock
from tunesmith.core.types import EncodedMany
from tunesmith.models.load import load_model
from tunesmith.models.policy import Policy
from tunesmith.plan import Item, TokenStore
from tunesmith.train import checkpoint
from tunesmith.train.accumulate import accumulate
from tunesmith.train.loop import train
from tunesmith.train.objective import OBJECTIVES
from tunesmith.train.optim import Weights
from tunesmith.train.settings import TrainSettings
from tunesmith.train.trainer import _cut

MODEL = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def store(rows: int = 80, seed: int = 0) -> TokenStore:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 20, rows)
    ids = rng.integers(0, 50, int(lengths.sum())).astype(np.int32)
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    learn = rng.random(len(ids)) < 0.6
    learn[offsets[1:] - 1] = True
    return TokenStore.of(EncodedMany(ids, learn, offsets, np.arange(rows)), [f"row-{i}" for i in range(rows)])


def settings(**changed: object) -> TrainSettings:
    values = {"steps": 30, "batch_tokens": 128, "row_length": 64, "save_every": 5, "seed": 7, "lr": 1e-2, **changed}
    return TrainSettings.model_validate(values)


def run(out: Path, **changed: object) -> dict[str, torch.Tensor]:
    train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(**changed), out, progress=False)
    return safetensors.torch.load_file(out / "model" / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


CHILD = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from tests.train.test_loop import MODEL, settings, store
from tunesmith.train.loop import train
def slow(event):
    print(event.step, flush=True)
train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(steps=int(sys.argv[2])), Path(sys.argv[1]),
      on_event=slow, progress=False)
"""


def child(out: Path, steps: int) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", CHILD, str(out), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=root)


def killed(out: Path, steps: int, kills: int, seed: int) -> None:
    """Run in processes that are killed at random steps, until one comes to the end."""
    rng = random.Random(seed)
    for _ in range(kills):
        process = child(out, steps)
        assert process.stdout is not None
        start = int(process.stdout.readline() or 0)
        if start:
            wanted = rng.randint(start, min(steps, start + 1 + steps // kills * 2))
            for line in process.stdout:
                if int(line) >= wanted:
                    break
            time.sleep(rng.random() * 0.02)
        process.kill()
        process.wait()
    assert child(out, steps).wait() == 0


def check_killed(tmp_path: Path, steps: int, kills: int) -> None:
    assert child(tmp_path / "whole", steps).wait() == 0
    killed(tmp_path / "killed", steps, kills, seed=kills)
    load = safetensors.torch.load_file
    a, b = (load(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "killed"))
    assert same(a, b)


def test_killed_twice_is_never_killed(tmp_path: Path) -> None:
    check_killed(tmp_path, steps=40, kills=2)


@pytest.mark.full
def test_killed_twenty_times_is_never_killed(tmp_path: Path) -> None:
    check_killed(tmp_path, steps=300, kills=20)


def test_sigterm_saves_and_ends(tmp_path: Path) -> None:
    process = child(tmp_path, 2000)
    assert process.stdout is not None
    last = 0
    for line in process.stdout:
        last = int(line)
        if last >= 7:
            break
    process.send_signal(signal.SIGTERM)
    for line in process.stdout:
        last = int(line)
    assert process.wait() == 128 + signal.SIGTERM
    newest = (tmp_path / "checkpoints" / "latest").resolve().name
    assert newest == f"step-{last:08d}"


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(tmp_path / "whole")
    out = tmp_path / "damaged"

    def stop(event: object) -> None:
        if event.step == 12:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(), out, on_event=stop, progress=False)
    data = (out / "checkpoints" / "latest").resolve() / "state-0-of-1.safetensors"
    blob = bytearray(data.read_bytes())
    blob[len(blob) // 2] ^= 1
    data.write_bytes(bytes(blob))
    assert same(run(out), whole)
    told = "".join(capsys.readouterr())
    assert "step-00000010" in told.replace("\n", "") and "damaged" in told


def test_a_second_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(RunLocked):
        run(tmp_path)


def test_other_settings_in_the_folder_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match=r"settings.lr: 0.01 -> 0.003"):
        run(tmp_path, lr=3e-3)


def test_a_finished_run_is_found(tmp_path: Path) -> None:
    first = run(tmp_path)
    began = time.perf_counter()
    assert same(run(tmp_path), first)
    assert time.perf_counter() - began < 5


def test_a_loss_that_is_no_number_names_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model({**MODEL, "tie_word_embeddings": False}, seed=0).save_pretrained(tmp_path / "bad")
    bad, check = 7, Policy.check

    def then_damaged(policy: Policy, *given: object) -> None:
        check(policy, *given)  # type: ignore[arg-type]
        with torch.no_grad():  # a folder with such a weight would be refused
            policy.model.get_input_embeddings().weight[bad] = float("nan")

    monkeypatch.setattr(Policy, "check", then_damaged)
    with pytest.raises(NonFiniteLoss, match=r"a: row-\d+") as caught:
        train(tmp_path / "bad", "sft", {"a": store()}, {"a": 1.0}, settings(), tmp_path / "out", progress=False)
    named = {int(n.split("row-")[1]) for n in str(caught.value).splitlines() if "row-" in n}
    assert named and all(bad in store()[n].ids[:-1] for n in named)


def test_accumulation_changes_nothing() -> None:
    rows = [tuple(row) for row in _rows(16)]
    goal, data = OBJECTIVES["sft"], {"a": store()}
    grads, losses = [], []
    for at_once in (16, 8, 1):
        model = load_model(MODEL, seed=3)
        policy = Policy(model)
        weights = Weights(model, optimizer="adamw", dtype=torch.float32)
        batches = [goal.batch(rows[i : i + at_once], data, "cpu") for i in range(0, 16, at_once)]
        losses.append(accumulate(policy, goal, batches, weights).loss)
        grads.append(weights.grad.clone())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6) and losses[2] == pytest.approx(losses[0], rel=1e-6)
    for grad in grads[1:]:
        assert (grad - grads[0]).norm() <= 1e-6 * grads[0].norm()


def test_a_global_batch_is_cut_evenly() -> None:
    data = store()
    items = [Item("a", i) for i in range(40)]
    lengths = data.lengths[:40]
    for passes in (1, 2, 3, 7, 40, 100):
        parts = _cut(items, passes, {"a": data})
        assert [item for part in parts for item in part] == items
        assert len(parts) <= passes and (len(parts) == passes or passes > 7)
        sizes = [sum(int(lengths[item.index]) for item in part) for part in parts]
        assert max(sizes) <= lengths.sum() / min(passes, 40) + lengths.max()
    assert _cut([], 3, {"a": data}) == []


def _rows(n: int) -> list[list[object]]:
    from tunesmith.plan import Item

    return [[Item("a", 2 * i), Item("a", 2 * i + 1)] for i in range(n)]


def test_the_model_is_a_plain_folder(tmp_path: Path) -> None:
    weights = run(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(model.model.embed_tokens.weight, weights["model.embed_tokens.weight"])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_padding_is_little(tmp_path: Path) -> None:
    big = store(rows=600)
    result = train(MODEL, "sft", {"a": big}, {"a": 1.0}, settings(steps=5, batch_tokens=2048), tmp_path, progress=False)
    assert result.padding <= 0.03


def test_a_checkpoint_is_of_its_step_however_slowly_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next steps wait before they change what is being written, and its losses end with its own step."""
    fast = run(tmp_path / "fast", steps=12)
    write = checkpoint._write_pieces

    def slowly(path: Path, pieces: object) -> None:
        time.sleep(0.1)
        write(path, pieces)  # type: ignore[arg-type]
        time.sleep(0.1)

    monkeypatch.setattr(checkpoint, "_write_pieces", slowly)
    assert same(fast, run(tmp_path / "slow", steps=12))
    for step in (10, 12):
        a, b = (checkpoint.at(tmp_path / name / "checkpoints", step) for name in ("fast", "slow"))
        # How many threads compute follows from what else runs on the machine.
        assert {**a.extra, "threads": 0} == {**b.extra, "threads": 0} and len(b.extra["losses"]) == step
        assert same(*(safetensors.torch.load_file(c.folder / c.files[0]) for c in (a, b)))
