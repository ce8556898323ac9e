"""How fast a million conversations are built, what takes the time, and how much memory it needs.

    python benchmarks/build.py [--rows 1000000] [--workers 2] [--every]

The rows are those of the T0 mixture as conversations, again and again with a number before the question, in one file
of JSON lines. They are built end to end (read, cleaned, split, proven, written) twice: a tenth, and all. ``--every``
switches on all steps that look at one row but `self_instruct`, which is for rows that a model made up, and
near-duplicates. Each build is a process of its own, so that its peak memory is its own; that of the largest worker is
told beside it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS = (
    *("truncated", "echo", "boilerplate", "repetition", "length", "language", "private", "safety", "quality", "near"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file:
        print(json.dumps(one(args.file, args.workers, args.every)))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in (args.rows // 10, args.rows):
            file = Path(folder) / f"{rows}.jsonl"
            write(file, rows)
            command = [sys.executable, __file__, "--file", str(file), "--workers", str(args.workers)]
            told = subprocess.run([*command, *(["--every"] if args.every else [])], capture_output=True, text=True)
            if told.returncode:
                raise SystemExit(told.stderr[-2000:])
            found[str(rows)] = json.loads(told.stdout.splitlines()[-1])
            found[str(rows)]["file_mb"] = round(file.stat().st_size / 1e6)
            file.unlink()
            print(f"  {rows:,} rows: {found[str(rows)]['seconds']} s")
    few, many = found.values()
    print(json.dumps({"workers": args.workers, "times": round(many["seconds"] / few["seconds"], 2), **found}))


def one(file: Path, workers: int, every: bool) -> dict[str, Any]:
    """One build, measured."""
    from tunesmith.data import Cleaning, HeldOut, build_to, task_of

    cleaning = Cleaning.model_validate(dict.fromkeys(STEPS, True) if every else {})
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        wish = HeldOut(instance_fraction=0.01)
        summary = build_to(Path(out), [task_of(file)], wish, seed=1, per_level=600, cleaning=cleaning, workers=workers)
        seconds = time.perf_counter() - began
    spent = sum(summary.seconds.values())
    rows = summary.ledger["rows read"].rows_in
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "worker_peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3),
        "rows_per_core_second": {k: round(rows / s) for k, s in sorted(summary.seconds.items()) if s > 0.01},
        "share": {k: round(s / spent, 3) for k, s in sorted(summary.seconds.items(), key=lambda x: -x[1])},
        "trained_on": summary.counts["train"],
    }


def write(file: Path, count: int) -> None:
    path = ROOT.parent / "shared" / "data" / "t0_train_50k.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: this benchmark needs the T0 rows.")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [(row["prompt"], row["completion"]) for row in map(json.loads, lines) if row["completion"].strip()]
    with file.open("w", encoding="utf-8") as out:
        for n in range(count):
            asked, said = rows[n % len(rows)]
            turn = n // len(rows)
            talk = [
                {"role": "user", "content": f"({turn}) {asked}" if turn else asked},
                {"role": "assistant", "content": said},
            ]
            out.write(json.dumps({"messages": talk}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
