"""Thirty ways to lose a run, and that none of them does: it ends with the same weights, to the last bit.

Each fault befalls a run of 20 steps with a checkpoint every 4, most of them when it was killed in step 14; what is
done again is never more than the steps since the newest checkpoint that is whole.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.train.test_loop import MODEL, same, settings, store
from tunesmith.core.errors import CheckpointError, RunLocked, TrainError
from tunesmith.core.lock import run_lock
from tunesmith.plan import TokenStore
from tunesmith.train import checkpoint
from tunesmith.train.identity import TrainResult
from tunesmith.train.loop import train

STEPS, EVERY, KILLED = 20, 4, 14


class Killed(BaseException):
    """As good as kill -9 within one process: nothing catches it."""


def go(out: Path, kill_at: int = 0, **changed: Any) -> TrainResult:
    def note(event: Any) -> None:
        if event.step == kill_at:
            raise Killed

    chosen = settings(**{"steps": STEPS, "save_every": EVERY, **changed})
    return train(MODEL, "sft", {"a": store()}, {"a": 1.0}, chosen, out, on_event=note, progress=False)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing befell."""
    out = tmp_path_factory.mktemp("whole")
    go(out)
    return weights(out)


def killed(out: Path) -> Path:
    """A run that was killed in step 14: checkpoints of steps 8 and 12 are there."""
    with pytest.raises(Killed):
        go(out, KILLED)
    time.sleep(0.05)
    assert sorted(p.name for p in (out / "checkpoints").glob("step-*")) == ["step-00000008", "step-00000012"]
    return out / "checkpoints" / "step-00000012"


def state(newest: Path) -> Path:
    return newest / "state-0-of-1.safetensors"


def _cut(newest: Path) -> None:
    os.truncate(state(newest), state(newest).stat().st_size // 2)


def _flip(newest: Path) -> None:
    data = bytearray(state(newest).read_bytes())
    data[len(data) // 2] ^= 1
    state(newest).write_bytes(data)


def _link_to_nothing(newest: Path) -> None:
    latest = newest.parent / "latest"
    latest.unlink()
    latest.symlink_to("step-00000099")


def _half_a_folder(newest: Path, name: str) -> None:
    (newest.parent / name).mkdir()
    shutil.copy(state(newest), newest.parent / name)


def _torn_line(newest: Path) -> None:
    with (newest.parents[1] / "metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "lo')


DAMAGES: dict[str, tuple[Callable[[Path], Any], int]] = {
    "killed, and nothing else": (lambda newest: None, 12),
    "the newest state is cut in half": (_cut, 8),
    "one bit of it is flipped": (_flip, 8),
    "it is empty": (lambda newest: state(newest).write_bytes(b""), 8),
    "it is gone": (lambda newest: state(newest).unlink(), 8),
    "what is known of it is gone": (lambda newest: (newest / "checkpoint.json").unlink(), 8),
    "what is known of it is no JSON": (lambda newest: (newest / "checkpoint.json").write_text('{"step": 12, '), 8),
    "what is known of it is empty": (lambda newest: (newest / "checkpoint.json").write_text(""), 8),
    "the whole folder of it is gone": (shutil.rmtree, 8),
    "latest points to nothing": (_link_to_nothing, 12),
    "latest is gone": (lambda newest: (newest.parent / "latest").unlink(), 12),
    "half a checkpoint was being written": (lambda newest: _half_a_folder(newest, ".part-00000016-abcd"), 12),
    "an old one was being deleted": (lambda newest: _half_a_folder(newest, ".old-00000004"), 12),
    "both are damaged": (lambda newest: [_cut(newest), _flip(newest.with_name("step-00000008"))], -1),
    "all checkpoints are gone": (lambda newest: shutil.rmtree(newest.parent), 0),
    "the last line of the log is torn": (_torn_line, 12),
    "the log is gone": (lambda newest: (newest.parents[1] / "metrics.jsonl").unlink(), 12),
    "what the run is is torn": (lambda newest: (newest.parents[1] / "run.json").write_text('{"mod'), 12),
    "what the run is is gone": (lambda newest: (newest.parents[1] / "run.json").unlink(), 12),
    "a dead process is named in the lock": (lambda newest: (newest.parents[1] / ".lock").write_text("999999"), 12),
    "half a model was being written": (lambda newest: (newest.parents[1] / f".model.part{os.getpid()}").mkdir(), 12),
    "a result without a model": (lambda newest: (newest.parents[1] / "result.json").write_text("{}"), 12),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_between_two_starts(what: str, whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    damage, goes_on_from = DAMAGES[what]
    damage(killed(tmp_path))
    if goes_on_from < 0:  # nothing is whole: it is said, and nothing is thrown away
        with pytest.raises(CheckpointError, match="None of the checkpoints"):
            go(tmp_path)
        return
    assert go(tmp_path).resumed_from == goes_on_from
    assert same(weights(tmp_path), whole)
    assert [p.name for p in (tmp_path / "checkpoints").glob(".*")] == []
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps[-STEPS + goes_on_from :] == list(range(goes_on_from + 1, STEPS + 1))


@pytest.mark.parametrize(
    "place",
    ["_write_pieces", *(pytest.param(p, marks=pytest.mark.full) for p in ("_hash", "_publish", "_flush", "_steps"))],
)
def test_killed_while_a_checkpoint_is_written(
    place: str, whole: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends at one point of writing the checkpoint of step 12: that of step 8 or that one is whole."""
    program = f"""
import os, sys, torch
torch.set_num_threads({torch.get_num_threads()})
from tests.faults.test_runs import *
holder = checkpoint.Saver if hasattr(checkpoint.Saver, {place!r}) else checkpoint
before, calls = getattr(holder, {place!r}), []
def ends(*arguments):
    found = before(*arguments) if {place!r} in ("_flush", "_steps") else None
    if any(p.name.startswith((".part-00000012", "step-00000012")) for p in Path(sys.argv[1]).glob("checkpoints/*")):
        os._exit(9)
    return found or before(*arguments)
setattr(holder, {place!r}, ends)
go(Path(sys.argv[1]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 9
    assert go(tmp_path).resumed_from in (8, 12)
    assert same(weights(tmp_path), whole)


def test_killed_while_the_model_is_written(
    whole: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.train import assemble, trainer

    def ends(*arguments: Any, **more: Any) -> None:
        raise Killed

    for module, name in ((assemble, "save_model"), (trainer, "write_result")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, ends)
            with pytest.raises(Killed):
                go(tmp_path)
    assert go(tmp_path).resumed_from == STEPS
    assert same(weights(tmp_path), whole)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(sign: signal.Signals, whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    def note(event: Any) -> None:
        if event.step == KILLED:
            os.kill(os.getpid(), sign)

    chosen = settings(steps=STEPS, save_every=EVERY)
    with pytest.raises(SystemExit) as stopped:
        train(MODEL, "sft", {"a": store()}, {"a": 1.0}, chosen, tmp_path, on_event=note, progress=False)
    assert stopped.value.code == 128 + sign
    assert go(tmp_path).resumed_from in (KILLED, KILLED + 1)  # not one step is lost
    assert same(weights(tmp_path), whole)


@pytest.mark.full
def test_suspended_and_woken(whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    threads = f"import sys, torch\ntorch.set_num_threads({torch.get_num_threads()})"
    program = f"{threads}\nfrom tests.faults.test_runs import *\ngo(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2])
    for _ in range(600):
        if (tmp_path / "metrics.jsonl").exists():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    assert same(weights(tmp_path), whole)


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_the_clock_jumps(
    jump: float, whole: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, began = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: real() + (jump if real() - began > 0.1 else 0.0))
    go(tmp_path)
    assert same(weights(tmp_path), whole)
    rates = [json.loads(line)["tokens_per_second"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < rate < 1e7 for rate in rates)


def test_the_disk_is_full_for_a_while(
    whole: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, tries = checkpoint._write_pieces, []

    def full(path: Path, pieces: Any) -> None:
        tries.append(path)
        if len(tries) in (2, 3):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, pieces)

    monkeypatch.setattr(checkpoint, "_write_pieces", full)
    with pytest.raises(Killed):
        go(tmp_path, KILLED)
    said = capsys.readouterr().err.replace("\n", " ")
    assert said.count("No space left on device") == 2 and "Training goes on" in said
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["latest", "step-00000004"]
    assert go(tmp_path).resumed_from == 4
    assert same(weights(tmp_path), whole)


def test_the_disk_is_full_at_the_end(whole: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """A real limit of the system: no file may grow beyond what a checkpoint takes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"could not be written.*start the same command again"):
            go(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert go(tmp_path).resumed_from == 0
    assert same(weights(tmp_path), whole)


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(TrainError, match=r"cannot be written to: .*Choose another folder"):
        go(Path("/sys/tunesmith/run"))


def test_a_second_run_in_the_folder(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(RunLocked, match="already trains"):
        go(tmp_path)


def test_the_checkpoint_of_another_run(tmp_path: Path) -> None:
    killed(tmp_path / "a")
    with pytest.raises(Killed):
        go(tmp_path / "b", KILLED, lr=1e-3)
    shutil.rmtree(tmp_path / "b" / "checkpoints")
    shutil.copytree(tmp_path / "a" / "checkpoints", tmp_path / "b" / "checkpoints", symlinks=True)
    with pytest.raises(CheckpointError, match="is of another run"):
        go(tmp_path / "b", lr=1e-3)


def test_other_data_in_the_folder(tmp_path: Path) -> None:
    killed(tmp_path)
    other: TokenStore = store(seed=1)
    with pytest.raises(CheckpointError, match="holds another run"):
        train(MODEL, "sft", {"a": other}, {"a": 1.0}, settings(steps=STEPS, save_every=EVERY), tmp_path, progress=False)
