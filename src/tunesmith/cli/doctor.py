"""``tunesmith doctor``: what this machine can do, and what would help."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tunesmith.core import screen, versions

OPTIONAL = {
    "tensorboard": "training curves in a browser: pip install 'tunesmith[tracking]'",
}

_INSTALL = f"pip install tunesmith -c {versions.CONSTRAINTS} installs the tested versions"


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    found: str
    good: bool = True
    advice: str = ""


def doctor() -> None:
    """Say what this machine can do: Python, packages, processor, memory, disk, GPU, and what would help."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "what", "found", box=None, pad_edge=False)
    advice = []
    for finding in examine():
        mark = "[green]ok[/]" if finding.good else "[yellow]--[/]"
        table.add_row(mark, finding.what, escape(finding.found))
        if finding.advice:
            advice.append(f"{finding.what}: {finding.advice}")
    console = screen.console()
    console.print(table)
    for line in advice:
        console.print(f"[yellow]advice[/] {escape(line)}", highlight=False)
    if not advice:
        console.print("[green]Nothing to advise.[/] Start with: tunesmith quickstart", highlight=False)


def examine() -> list[Finding]:
    """Every finding, in the order in which they are shown."""
    return [_python(), *_packages(), _cores(), _memory(), _disk(), *_torch()]


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("Python", platform.python_version(), good, "" if good else "tunesmith needs 3.11 or newer")


def _packages() -> list[Finding]:
    findings = []
    for package in versions.packages():
        advice = "" if package.tested else f"tested: {package.oldest} to {package.newest}; {_INSTALL}"
        findings.append(Finding(package.name, package.installed, package.tested, advice))
    installed = {finding.what for finding in findings}
    return [
        *findings,
        *(Finding(name, "not installed", True, hint) for name, hint in OPTIONAL.items() if name not in installed),
    ]


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS")
    found = f"{cores} cores" + (f", OMP_NUM_THREADS={asked}" if asked else "")
    if asked and asked.isdigit() and int(asked) < cores:
        return Finding("processor", found, False, f"unset OMP_NUM_THREADS to train with all {cores} cores")
    return Finding("processor", found)


def _memory() -> Finding:
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
        total, free = (int(rows[key].split()[0]) / 1024**2 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return Finding("memory", "unknown on this system")
    good = free >= 2.5
    return Finding(
        "memory",
        f"{free:.1f} GB free of {total:.1f} GB",
        good,
        "" if good else "the quickstart needs 2.5 GB; close other programs",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1024**3
    good = free >= 1
    return Finding("disk", f"{free:.0f} GB free here", good, "" if good else "the quickstart writes some 100 MB")


def _torch() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    findings = [Finding("threads", f"torch computes with {torch.get_num_threads()}")]
    speeds = {dtype: matmul_speed(dtype) for dtype in (torch.float32, torch.bfloat16)}
    full, half = speeds[torch.float32], speeds[torch.bfloat16]
    word = "bf16 helps" if half > 1.2 * full else "bf16 does not help here; training uses float32 on the processor"
    findings.append(Finding("matrix product", f"float32 {full:.0f}, bf16 {half:.0f} GFLOP/s: {word}"))
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            findings.append(
                Finding(
                    f"GPU {i}",
                    f"{card.name}, {card.total_memory / 1024**3:.0f} GB, bf16 {torch.cuda.is_bf16_supported()}",
                )
            )
    else:
        findings.append(Finding("GPU", "none: small models only, which is all that the quickstart needs"))
    return findings


def matmul_speed(dtype: object, size: int = 512, seconds: float = 0.3) -> float:
    """GFLOP/s of a square matrix product on the processor."""
    import torch

    assert isinstance(dtype, torch.dtype)
    a = torch.ones(size, size, dtype=dtype)
    a @ a  # the first one pays for setting up
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        a @ a
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - start) / 1e9
