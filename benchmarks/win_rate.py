"""How far are our length-controlled win rates from those that AlpacaEval publishes?

    python benchmarks/win_rate.py CHECKOUT [--reference df_gamed.csv]

CHECKOUT is a copy of github.com/tatsu-lab/alpaca_eval: its annotations by weighted_alpaca_eval_gpt4_turbo, and its
table. Models whose annotations are missing there are left out. With AlpacaEval's df_gamed.csv (the difficulty of
instructions, and the annotations of the two gamed baselines) the computation is theirs. Without it both are made from
what the copy holds: difficulties are fitted to the models that do not beat the baseline (theirs are of early 2024, when
none did), and the gamed annotations are computed from the published weights of the two gamed baselines and the lengths
of their answers. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tunesmith.cli.eval.winrate import lines_of
from tunesmith.evals.judges.annotations import Annotations, Reference, read_annotations, read_reference
from tunesmith.evals.judges.length_controlled import Gamed, difficulties

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
TABLE = f"src/alpaca_eval/leaderboards/data_AlpacaEval_2/{JUDGE}_leaderboard.csv"
BASELINE = "gpt4_1106_preview"
WEIGHTS = f"src/alpaca_eval/metrics/weights/{JUDGE}/length_controlled_v1/baseline_{BASELINE}.csv"


def gamed_of(checkout: Path, difficulty: Mapping[str, float]) -> Gamed:
    """The gamed annotations as the published weights of the two baselines predict them."""
    with (checkout / WEIGHTS).open(encoding="utf-8", newline="") as file:
        weights = {row[""]: [float(x) for x in list(row.values())[1:]] for row in csv.DictReader(file)}

    def lengths(name: str) -> dict[str, int]:
        text = (checkout / "results" / name / "model_outputs.json").read_text(encoding="utf-8")
        return {one["instruction"]: len(one["output"]) for one in json.loads(text)}

    plain, columns = lengths(BASELINE), []
    for name in (f"{BASELINE}_concise", f"{BASELINE}_verbose"):
        mine = lengths(name)
        d = np.array([plain[text] - long for text, long in mine.items()], np.float64)
        x, hard = np.tanh(d / d.std(ddof=1)), np.array([difficulty[text] for text in mine])
        length, harder, model = weights[name]
        columns.append((x, hard, 1 / (1 + np.exp(-(length * x + harder * hard + model)))))
    return Gamed(*(np.concatenate([column[i] for column in columns]) for i in range(3)))


def _made(checkout: Path, sides: list[Annotations]) -> Reference:
    """What stands in df_gamed.csv, made from what the copy holds."""
    known = difficulties({s.model: s.rows for s in sides if np.mean([row.preferred for row in s.rows]) < 0.5})
    order = max((side.rows for side in sides), key=len)
    return Reference(tuple(known[row.instruction] for row in order), gamed_of(checkout, known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--reference", type=Path)
    args = parser.parse_args()
    with (args.checkout / TABLE).open(encoding="utf-8", newline="") as file:
        published = {row[""]: row for row in csv.DictReader(file)}
    files = [args.checkout / "results" / name / JUDGE / "annotations.json" for name in published]
    there = [(name, file) for name, file in zip(published, files, strict=True) if file.is_file()]
    begun = time.perf_counter()
    sides = [read_annotations(file) for _, file in there]
    reference = read_reference(args.reference) if args.reference else _made(args.checkout, sides)
    rates = [line["length_controlled"] for line in lines_of(sides, reference)[0]]
    apart, plain = [], []
    for (name, _), side, rate in zip(there, sides, rates, strict=True):
        theirs = float(published[name]["length_controlled_winrate"])
        apart.append(abs(rate - theirs))
        plain.append(abs(100 * np.mean([row.preferred for row in side.rows]) - float(published[name]["win_rate"])))
        print(f"{name:45} {theirs:6.2f} {rate:6.2f} {rate - theirs:+6.2f}")
    told = {
        "benchmark": "win_rate", "models": len(apart), "win_rate_apart_most": round(float(max(plain)), 4),
        "apart_mean": round(sum(apart) / len(apart), 2), "apart_median": round(sorted(apart)[len(apart) // 2], 2),
        "apart_most": round(max(apart), 2), "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
