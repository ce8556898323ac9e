"""What a machine can do, by measurement and by the data sheet, and what follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_loop import MODEL, settings, store
from tunesmith.train import flops as machine
from tunesmith.train import trainer
from tunesmith.train.loop import train

XEON = """processor	: 0
model name	: Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz
cpu MHz		: 3100.000
flags		: fpu avx2 fma avx512f avx512_bf16 {more}

processor	: 1
model name	: something else
"""


@pytest.mark.parametrize(
    ("half", "more", "flops"),
    [
        (False, "", 2 * 2.4e9 * 64),  # two units of 16 numbers, each multiplies and adds
        (True, "", 2 * 2.4e9 * 128),
        (True, "amx_bf16", 2 * 2.4e9 * 2048),
        (False, "amx_bf16", 2 * 2.4e9 * 64),
    ],
)
def test_the_data_sheet_of_a_cpu(half: bool, more: str, flops: float) -> None:
    assert machine.of_cpu(XEON.format(more=more), half=half, threads=2) == pytest.approx(flops)


def test_a_clock_that_is_not_in_the_name_is_the_one_told() -> None:
    text = "model name\t: AMD EPYC 9R14\ncpu MHz\t\t: 2600.0\nflags\t\t: avx2 avx512f\n\n"
    assert machine.of_cpu(text, half=False, threads=1) == pytest.approx(2.6e9 * 64)
    assert machine.of_cpu("model name\t: ARM\n\n", half=False, threads=1) is None


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("GenuineIntel", "avx512f avx512_bf16 avx512_fp16", False),  # its instructions are half as fast as float32
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
        ("", "", False),
    ],
)
def test_bfloat16_is_used_where_it_is_faster(vendor: str, flags: str, fast: bool) -> None:
    assert machine.fast_on_cpu(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n") is fast


def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(precision: str, device: torch.device) -> torch.dtype:
        asked.append(precision)
        return torch.bfloat16 if precision in ("auto", "bf16") else torch.float32

    def stop(event: Any) -> None:
        if event.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "compute_dtype", measured)
    chosen = settings(steps=4, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(MODEL, "sft", {"a": store()}, {"a": 1.0}, chosen, tmp_path, on_event=stop, progress=False)
    monkeypatch.setattr(
        trainer, "compute_dtype", lambda precision, device: torch.bfloat16 if precision == "bf16" else torch.float32
    )
    result = train(MODEL, "sft", {"a": store()}, {"a": 1.0}, chosen, tmp_path, progress=False)
    assert asked == ["auto"] and result.precision == "bfloat16" and result.resumed_from == 2


def test_both_shares_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "sheet_flops", lambda device, dtype, threads: 1e12)
    monkeypatch.setattr(trainer, "peak_flops", lambda device, dtype: 1e11)
    train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(steps=3), tmp_path, progress=False)
    for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        assert step["mfu"] == pytest.approx(step["flops_share"] / 10, abs=2e-6)
