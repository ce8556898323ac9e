"""What this machine can do: the most of its matrix products, measured and by the data sheet, and the memory in use."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch

SHEETS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "A40": 150e12,
    "A6000": 155e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bfloat16 operations a second on GPUs, by NVIDIA's data sheets."""
A_CYCLE = {"amx_bf16": (64, 2048), "avx512_bf16": (64, 128), "avx512f": (64, 64), "avx2": (32, 32)}
"""(float32, bfloat16) operations of a core in a cycle, by the best of its instruction sets."""


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in a large product, the best of a few: what a share of the peak is of."""
    n, seconds = (8192, 0.5) if device.type == "cuda" else (1024, 0.1)
    return _product(device, dtype, n, seconds)


@cache
def bf16_is_fast(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32. On a CPU it is tried: several have instructions for it
    that are slower than those of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    turns = [[_product(device, dtype, 384, 0.01) for dtype in (torch.float32, torch.bfloat16)] for _ in range(3)]
    full, half = (max(speeds) for speeds in zip(*turns, strict=True))
    return half > FASTER * full


FASTER = 1.25
"""So much faster bfloat16 has to be on a CPU: it costs conversions elsewhere."""


def _product(device: torch.device, dtype: torch.dtype, n: int, seconds: float) -> float:
    """Operations a second of a product of two square matrices, the best of those that fit the time."""
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    a @ b  # the first one makes the kernel
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        _finish(device)
        began = time.perf_counter()
        a @ b
        _finish(device)
        best = max(best, 2 * n**3 / (time.perf_counter() - began))
    return best


def sheet_flops(device: torch.device, dtype: torch.dtype, threads: int) -> float | None:
    """What the data sheet promises: of the GPU, or of so many cores of this CPU at the clock in its name or its usual
    one. None where it is not known here."""
    if dtype not in (torch.float32, torch.bfloat16):
        return None
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((flops for part, flops in SHEETS.items() if part in name), None)
        return known if dtype == torch.bfloat16 else None
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return of_cpu(text, half=dtype == torch.bfloat16, threads=threads)


def of_cpu(cpuinfo: str, *, half: bool, threads: int) -> float | None:
    """Operations a second of so many cores, from what Linux says of the first one."""
    said = dict(_pair(line) for line in cpuinfo.split("\n\n")[0].splitlines() if ":" in line)
    flags = said.get("flags", "").split()
    name = next((name for name in A_CYCLE if name in flags), None)
    clock = said.get("model name", "").rpartition("@ ")[2].removesuffix("GHz")
    try:
        hertz = float(clock) * 1e9 if "@" in said.get("model name", "") else float(said["cpu MHz"]) * 1e6
    except (KeyError, ValueError):
        return None
    return None if name is None else threads * hertz * A_CYCLE[name][half]


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


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
