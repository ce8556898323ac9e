"""The number of threads: measured, told, and without a trace in what is learned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.train import threads
from tunesmith.train.parallel import Ranks
from tunesmith.train.threads import Threads, threads_of

ROOT = Path(__file__).parents[2]
SAME = """
import hashlib, json, sys, torch
import tunesmith.train.loop
torch.manual_seed(0)
found = []
def keep(name, *results):
    found.append([name, hashlib.sha256(b"".join(r.detach().float().numpy().tobytes() for r in results)).hexdigest()])
for n in (1, 2):
    torch.set_num_threads(n)
    torch.manual_seed(0)
    for m, k, c in ((384, 1536, 128), (128, 1536, 128), (64, 4096, 64), (512, 128, 5120), (1536, 128, 384)):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            a, b = torch.randn(m, k).to(dtype), torch.randn(k, c).to(dtype)
            keep(f"{m} {k} {c} {dtype}", a @ b, torch.baddbmm((a @ b)[None], a[None], b[None]))
    x, gate = torch.randn(1536, 384, requires_grad=True), torch.randn(1536, 384)
    y = (torch.nn.functional.silu(x) * gate).softmax(-1).square()
    y.mean(-1).rsqrt().sum().backward()
    keep("element by element", y, x.grad)
half = len(found) // 2
print(json.dumps([a[0] for a, b in zip(found[:half], found[half:]) if a != b]))
"""


def python(program: str, **env: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_CBWR")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env={**kept, **env}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_products_have_the_same_bits_with_one_thread_and_with_two() -> None:
    assert python(SAME) == "[]"
    # The test can fail: MKL left to itself sums in another order. Only its own products are float32 and float64.
    assert "torch.float32" in python(SAME, MKL_CBWR="AUTO") or "mkl" not in torch.__config__.show().lower()


RUN = """
import hashlib, json, os, sys, torch
torch.set_num_threads(2)
from pathlib import Path
from tests.train.test_loop import MODEL, settings, store
from tunesmith.core import cores
from tunesmith.train import threads
from tunesmith.train.loop import train
number, stop, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
threads.usable, threads.PATIENCE = lambda: 2, 1e9  # what is chosen at the start is kept, however busy the machine is
measure = threads._measure
def chosen(most, compute):
    costs, same = measure(most, compute)
    return {n: 1.0 + (n != number) for n in costs}, same
threads._measure = chosen
def note(event):
    assert event.threads == int(sys.argv[4])
    if event.step == stop:
        os._exit(9)
model = json.loads(sys.argv[5]) or {**MODEL, "hidden_size": 64, "intermediate_size": 768}
train(model, "sft", {"a": store()}, {"a": 1.0}, settings(steps=8, save_every=3, precision="fp32", batch_tokens=2048),
      out, on_event=note, progress=False)
print(hashlib.sha256((out / "model" / "model.safetensors").read_bytes()).hexdigest())
"""
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}


def go(number: int, stop: int, out: Path, used: int, model: dict[str, Any] | None = None) -> tuple[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_CBWR")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(number), str(stop), str(out), str(used), json.dumps(model)],
        capture_output=True, text=True, cwd=ROOT, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == (9 if stop else 0), done.stderr[-3000:]
    return done.stdout.strip(), " ".join(done.stderr.split())


def test_a_run_that_goes_on_with_other_threads_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, said = go(2, 0, tmp_path / "whole", 2)
    assert "Computes with 2 threads of 2" in said
    go(2, 5, tmp_path / "killed", 2)
    resumed, said = go(1, 0, tmp_path / "killed", 1)
    assert "Computes with 1 thread of 2" in said
    assert resumed == whole


@pytest.mark.full
def test_where_bits_depend_on_the_threads_a_run_goes_on_with_those_it_began_with(tmp_path: Path) -> None:
    """LayerNorm's backward pass sums a part in each thread."""
    whole, _ = go(2, 0, tmp_path / "whole", 2, GPT2)
    go(2, 5, tmp_path / "killed", 2, GPT2)
    resumed, said = go(1, 0, tmp_path / "killed", 2, GPT2)
    assert "Computes with 2 threads of 2, as the run was begun" in said
    assert resumed == whole


def of(
    compute: Any, begun: dict[str, Any], monkeypatch: pytest.MonkeyPatch, most: int = 2
) -> tuple[Threads, list[str]]:
    said: list[str] = []
    monkeypatch.setattr(threads, "usable", lambda: most)
    monkeypatch.setattr(torch, "get_num_threads", lambda: most)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with threads_of(Ranks(), compute, said.append, begun) as found:
        return found, said


def test_the_fastest_number_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_measure", lambda most, compute: ({8: 3.0, 4: 1.5, 2: 1.0, 1: 2.5}, True))
    found, said = of(lambda: torch.zeros(1), {}, monkeypatch, most=8)
    assert found.now == 2 and not found.free
    (line,) = said
    assert line.startswith(
        "Computes with 2 threads of 8 (a batch takes 3,000 ms with 8, 1,500 ms with 4, 1,000 ms with 2,"
    )
    found, said = of(lambda: torch.zeros(1), {"threads": 4, "free": False}, monkeypatch, most=8)
    assert found.now == 4 and "as the run was begun" in said[0]
    found, said = of(lambda: torch.zeros(1), {"threads": 16, "free": False}, monkeypatch, most=8)
    assert found.now == 2 and "not the same to the last bit" in said[0]


def test_numbers_that_are_slower_and_slower_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    clock = [0.0]
    monkeypatch.setattr(torch, "set_num_threads", tried.append)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: clock[0])

    def compute() -> torch.Tensor:
        clock[0] += 64.0 / tried[-1]
        return torch.zeros(2)

    costs, same = threads._measure(64, compute)
    assert costs == {64: 1.0, 32: 2.0, 16: 4.0} and same
    assert tried == [64, 32, 16, 1]  # the last for its bits alone


def steps(found: Threads, seconds: dict[int, float], many: int) -> list[int]:
    used = []
    for _ in range(many):
        number = found._other if found._looking else found.now
        used.append(number)
        found.count(100, seconds[number])
    return used


def test_a_run_takes_fewer_threads_when_others_come_and_more_when_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    said: list[str] = []
    found = Threads(2, 2, free=True, say=said.append)
    used = steps(found, {1: 0.2, 2: 0.1}, 400)
    assert 2 <= used.count(1) <= 10 and found.now == 2 and not said  # looks are rare
    used = steps(found, {1: 0.4, 2: 4.0}, 300)
    assert found.now == 1 and used.index(1) <= 5  # no more than a few steps are slow
    assert used.count(2) <= 10
    used = steps(found, {1: 0.2, 2: 0.1}, 800)
    assert found.now == 2 and len(said) == 2
    assert said[0] == "Goes on with 1 thread: 10.0 times faster now than 2." or "1 thread" in said[0]


def test_a_number_that_decides_about_bits_is_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    found = Threads(2, 2, free=False, say=lambda text: None)
    assert set(steps(found, {1: 0.1, 2: 9.0}, 100)) == {2}
