"""Where the time of a training step goes on CPU: matrix products, attention, and what lies between.

    python benchmarks/where_time_goes.py [--size 13m|110m] [--steps 4] [--precision auto|fp32|bf16]

A Llama is tuned on T0 conversations, a step of 4 x 1024 tokens, under torch's profiler. Operations count by what they
are; their time is that of the threads that call them, so it adds up to the time of the step. The last line
is one JSON object, with the share of the machine's matrix products that a step reaches without the profiler.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from train_cpu import LEARNING_RATE, LENGTH, ROWS_A_STEP, SHAPES, Tunesmith, model, prepare

KINDS = {
    "products of layers and output": ("mm", "addmm", "linear", "mkldnn_linear", "_mkldnn", "linear_backward", "mv"),
    "products of attention, and of Newton-Schulz": ("bmm", "baddbmm"),
    "softmax": ("softmax", "_softmax", "_softmax_backward_data", "logsumexp", "_log_softmax", "exp"),
    "gathers and copies": ("index_select", "copy_", "cat", "index", "index_fill_", "embedding", "index_put_", "clone",
                           "embedding_dense_backward", "_index_put_impl_", "repeat_interleave", "gather", "index_add_"),
    "optimizer": ("_fused_adamw_", "lerp_", "linalg_vector_norm"),
}  # fmt: skip
"""Kinds of operations by their names; all others are arithmetic on single numbers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="13m")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()

    import torch
    from torch.profiler import ProfilerActivity, profile

    from tunesmith.train.log import StepEvent
    from tunesmith.train.loop import train
    from tunesmith.train.settings import TrainSettings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 1500, model(args.size))
        store = Tunesmith(folder, args.precision, lora=False).store
        profiler = profile(activities=[ProfilerActivity.CPU])
        reached = []

        def note(event: StepEvent, *, watched: bool) -> None:
            if not watched:
                reached.append(event.flops_share)
            elif event.step == 1:
                profiler.start()
            elif event.step == args.steps + 1:
                profiler.stop()

        for watched in (False, True):
            settings = TrainSettings.model_validate(
                {
                    "steps": args.steps + 2,
                    "batch_tokens": ROWS_A_STEP * LENGTH,
                    "row_length": LENGTH,
                    "optimizer": "adamw",
                    "lr": LEARNING_RATE,
                    "precision": args.precision,
                    "save_every": 10**6,
                }
            )
            train(
                folder, "sft", {"t0": store}, {"t0": 1.0}, settings, folder / f"out.{watched}", progress=False,
                on_event=lambda event, watched=watched: note(event, watched=watched),
            )  # fmt: skip

    times: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for entry in profiler.key_averages():
        if not entry.key.startswith("aten::"):
            times["Python and the rest of torch"] += entry.self_cpu_time_total
            continue
        operation = entry.key.removeprefix("aten::")
        kind = next((k for k, names in KINDS.items() if operation in names), "arithmetic on single numbers")
        times[kind] += entry.self_cpu_time_total
        if kind.startswith("arithmetic"):
            others[operation] += entry.self_cpu_time_total
    whole = sum(times.values())
    for kind, time in times.most_common():
        print(f"{time / whole:6.1%}  {kind}")
    print("the most of that arithmetic:", ", ".join(f"{k} {v / whole:.1%}" for k, v in others.most_common(8)))
    shares = sorted(reached[2:])
    print(
        json.dumps(
            {
                "benchmark": "where_time_goes",
                "flops_share": round(shares[len(shares) // 2], 3),
                "shares": {kind: round(time / whole, 4) for kind, time in times.most_common()},
                "size": args.size,
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
