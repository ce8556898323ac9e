"""What this machine can do: the most of its matrix products, measured and by the data sheet, and the memory in use."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch

from tunesmith.core.machine import peak_mb

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
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        _finish(device)
        began = time.perf_counter()
        a @ b
        _finish(device)
        best = max(best, 2 * n**3 / (time.perf_counter() - began))
    return best


def bf16_is_fast(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32. It follows from the machine, never from a timing, which
    other work could turn: results depend on it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and fast_on_cpu(_cpuinfo())


def fast_on_cpu(cpuinfo: str) -> bool:
    """Whether a CPU has fast products in bfloat16, from what Linux says of it.

    AMX is up to sixteen times as fast as float32. AVX-512's instructions are twice as fast on AMD; on Intel they are
    half as fast (79 GFLOP/s against 153 on an Emerald Rapids whose AMX is hidden from its virtual machine).
    """
    said = _first(cpuinfo)
    flags = said.get("flags", "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and said.get("vendor_id") == "AuthenticAMD")


def sheet_flops(device: torch.device, dtype: torch.dtype, threads: int) -> float | None:
    """What the data sheet promises: of the GPU, or of so many cores of this CPU at the clock in its name or its usual
    one. None where it is not known here."""
    if dtype not in (torch.float32, torch.bfloat16):
        return None
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((flops for part, flops in SHEETS.items() if part in name), None)
        return known if dtype == torch.bfloat16 else None
    return of_cpu(_cpuinfo(), half=dtype == torch.bfloat16, threads=threads)


def of_cpu(cpuinfo: str, *, half: bool, threads: int) -> float | None:
    """Operations a second of so many cores, from what Linux says of the first one."""
    said = _first(cpuinfo)
    flags = said.get("flags", "").split()
    name = next((name for name in A_CYCLE if name in flags), None)
    clock = said.get("model name", "").rpartition("@ ")[2].removesuffix("GHz")
    try:
        hertz = float(clock) * 1e9 if "@" in said.get("model name", "") else float(said["cpu MHz"]) * 1e6
    except (KeyError, ValueError):
        return None
    return None if name is None else threads * hertz * A_CYCLE[name][half]


@cache
def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _first(cpuinfo: str) -> dict[str, str]:
    """What is said of the first core."""
    pairs = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def memory_mb(device: torch.device) -> float:
    """The most memory that was in use so far: of the GPU where there is one, of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_mb()


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
