"""How many cores there are for this process, and how busy others keep them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.core import cores


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize("seen", ["/job/a", "/docker/of-the-host"])
def test_the_quota_of_a_container_is_read(seen: str, tmp_path: Path) -> None:
    proc, mounted = tmp_path / "cgroup", tmp_path / "sys"
    proc.write_text(f"0::{seen}\n")
    written(mounted, cpu__max="150000 100000\n")
    assert cores.quota(proc, mounted) == 1.5
    written(mounted / "job", cpu__max="max 100000\n")
    written(mounted / "job/a", cpu__max="400000 100000\n")
    assert cores.quota(proc, mounted) == 1.5  # the tightest of those above counts


def test_the_older_kind_of_quota_is_read(tmp_path: Path) -> None:
    proc, mounted = tmp_path / "cgroup", tmp_path / "sys"
    proc.write_text("3:cpuset:/\n2:cpu,cpuacct:/job\n1:memory:/job\n0::/\n")
    written(mounted / "cpu,cpuacct/job", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    assert cores.quota(proc, mounted) == 0.5
    written(mounted / "cpu,cpuacct/job", cpu__cfs_quota_us="-1\n")
    assert cores.quota(proc, mounted) is None


def test_without_a_quota_all_cores_of_the_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.quota(tmp_path / "none", tmp_path) is None
    monkeypatch.setattr(cores, "affinity", lambda: {0, 3, 5, 6})
    for limit, count in ((None, 4), (1.5, 2), (0.2, 1), (64.0, 4)):
        monkeypatch.setattr(cores, "quota", lambda limit=limit: limit)
        assert cores.usable() == count


def test_a_process_on_fewer_cores_counts_those() -> None:
    first = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{first}}}); from tunesmith.core.cores import usable; print(usable())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_what_others_use_of_our_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "affinity", lambda: {0, 1})
    #              user nice system idle iowait irq softirq steal guest
    texts = iter(
        [
            "cpu 0 0 0 0\ncpu0 100 0 0 900 0 0 0 0 50 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n",
            "cpu 0 0 0 0\ncpu0 110 2 3 900 0 0 0 5 60 0\ncpu1 0 0 0 1010 10 0 0 0 0 0\ncpu2 900 0 0 0 0 0 0 0 0 0\n",
        ]
    )
    assert cores.busy(lambda: next(texts), lambda seconds: None) == pytest.approx(0.5)
    assert cores.busy(lambda: "what is this", lambda seconds: None) == 0.0


WAITS = """
import os, sys
from tunesmith.core import cores
cores.choose_waiting(lambda: float(sys.argv[1]))
assert "torch" not in sys.modules
print(cores.waiting())
"""


@pytest.mark.parametrize(
    ("others", "chosen", "how"),
    [("0.0", {}, "spin"), ("0.6", {}, "sleep"), ("0.6", {"OMP_WAIT_POLICY": "active"}, "spin")],
)
def test_threads_sleep_where_others_need_the_cores(others: str, chosen: dict[str, str], how: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in cores.WAITS} | chosen
    done = subprocess.run([sys.executable, "-c", WAITS, others], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == f"{how}\n"
