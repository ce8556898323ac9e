"""What this machine can do, measured: the most of its matrix products, and the memory that is in use."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in a large product, the best of a few: what a share of the peak is of."""
    n, seconds = (8192, 0.5) if device.type == "cuda" else (1024, 0.1)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        _finish(device)
        began = time.perf_counter()
        a @ b
        _finish(device)
        best = max(best, 2 * n**3 / (time.perf_counter() - began))
    return best


def memory_mb(device: torch.device) -> float:
    """The most memory that was in use so far: of the GPU where there is one, of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
