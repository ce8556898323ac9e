"""What checkpoints cost a run: the same steps with and without them.

    python benchmarks/checkpoints.py [--size 13m|110m] [--steps 120] [--every 20] [--turns 3]

A Llama is tuned on T0 conversations by `train(..., "sft", ...)`, once with a checkpoint every so many steps and once
with none but the last. Both take turns. `stalled` is what the run itself says: the share of its time in which steps
waited for a checkpoint to be written. `slower` also has what the writing thread took from the processor, and the noise
of the machine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from train_cpu import LEARNING_RATE, LENGTH, ROWS_A_STEP, SHAPES, Tunesmith, model, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="13m")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()

    from tunesmith.train.loop import train
    from tunesmith.train.settings import TrainSettings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1500, model(args.size))
        store = Tunesmith(folder, "auto", lora=False).store

        def run(turn: int, every: int) -> Any:
            settings = TrainSettings.model_validate(
                {
                    "steps": args.steps,
                    "batch_tokens": ROWS_A_STEP * LENGTH,
                    "row_length": LENGTH,
                    "optimizer": "adamw",
                    "lr": LEARNING_RATE,
                    "save_every": every,
                    "seed": turn,
                }
            )
            out = folder / f"{turn}.{every}"
            result = train(folder, "sft", {"t0": store}, {"t0": 1.0}, settings, out, progress=False)
            size = sum(f.stat().st_size for f in (out / "checkpoints" / "latest").resolve().iterdir())
            print(f"{turn + 1}. every {every}: {result.seconds:.1f} s, stalled {result.stalled:.2f} s", flush=True)
            return result, size

        found = [(run(turn, args.every), run(turn, args.steps)) for turn in range(args.turns)]
    print(
        json.dumps(
            {
                "benchmark": "checkpoints",
                "stalled": round(statistics.median(a[0].stalled / a[0].seconds for a, _ in found), 5),
                "slower": round(statistics.median(a[0].seconds / b[0].seconds for a, b in found) - 1, 4),
                "checkpoint_mb": round(found[0][0][1] / 2**20),
                "size": args.size,
                "steps": args.steps,
                "every": args.every,
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
