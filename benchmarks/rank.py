"""How fast options are ranked: tunesmith and lm-evaluation-harness, the same model, questions and options.

    python benchmarks/rank.py [--questions 100] [--turns 3] [--peer-python .venv-peers/bin/python]

A Llama of 13M parameters in float32 is asked questions made of T0 rows, with four options each, in three ways: without
examples, with five examples of its own before each question, and with the same five before all. Both sides get the same
texts; ids are compared first, then log-likelihoods and choices. Start-up is not counted. lm-evaluation-harness runs its
`hf` model with a batch of 16 and `loglikelihood`, which is what its multiple-choice tasks call. Sides take turns, and
medians count. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from encode import ROOT, t0_conversations
from train_cpu import model, prepare, threads

WAYS = ("0-shot", "5-shot, own examples", "5-shot, the same examples")
PACKAGES = {"tunesmith": ("tunesmith", "torch", "transformers"), "lm_eval": ("lm_eval", "torch", "transformers")}


def short_rows(draw: random.Random) -> list[tuple[str, str]]:
    """Short questions of T0 with their answers, shuffled."""
    rows = []
    for turns in t0_conversations(20_000):
        asked, said = (turn["content"].strip() for turn in turns)
        if 100 < len(asked) < 700 and 0 < len(said) < 40 and "\n" not in said:
            rows.append((asked, said))
    draw.shuffle(rows)
    return rows


def questions(count: int) -> dict[str, list[dict[str, Any]]]:
    """For each way the contexts and options: short questions of T0, the right answer and those of three others."""
    draw = random.Random(0)
    rows = short_rows(draw)
    some, pool = rows[:count], rows[count:]
    same = pool[:5]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for asked, said in some:
        others: list[str] = []
        while len(others) < 3:
            other = draw.choice(pool)[1]
            if other != said and other not in others:
                others.append(other)
        options = draw.sample([said, *others], 4)
        for way, examples in zip(WAYS, ([], draw.sample(pool, 5), same), strict=True):
            shown = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in examples)
            found[way].append({"context": f"{shown}Question: {asked}\nAnswer:", "options": [f" {o}" for o in options]})
    return found


class Tunesmith:
    """Our side."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        from tunesmith.models.load import load_model

        self.tok = AutoTokenizer.from_pretrained(folder)
        self.model = load_model(folder, attention="sdpa").float().eval()

    def rank(self, asked: list[dict[str, Any]]) -> dict[str, Any]:
        from tunesmith.models.generate import rank_options

        began = time.perf_counter()
        prompts, options = [], []
        for one in asked:
            prompt = self.tok.encode(one["context"], add_special_tokens=False)
            whole = [self.tok.encode(one["context"] + o, add_special_tokens=False) for o in one["options"]]
            prompts.append(prompt)
            options.append([ids[len(prompt) :] for ids in whole])
        scores = rank_options(self.model, prompts, options)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "scores": [s.tolist() for s in scores],
            "ids": [[p, *o] for p, o in zip(prompts[:5], options[:5], strict=True)],
        }


class Harness:
    """The other side, in the peers' environment."""

    def __init__(self, folder: Path) -> None:
        import torch
        from lm_eval.models.huggingface import HFLM

        self.lm = HFLM(str(folder), dtype=torch.float32, device="cpu", batch_size=16)

    def rank(self, asked: list[dict[str, Any]]) -> dict[str, Any]:
        from lm_eval.api.instance import Instance

        requests = [
            Instance("loglikelihood", {}, (one["context"], option), i)
            for i, one in enumerate(asked)
            for option in one["options"]
        ]
        began = time.perf_counter()
        found = [score for score, _ in self.lm.loglikelihood(requests, disable_tqdm=True)]
        seconds = time.perf_counter() - began
        ids = [
            [
                self.lm._encode_pair(one["context"], one["options"][0])[0],
                *(self.lm._encode_pair(one["context"], o)[1] for o in one["options"]),
            ]
            for one in asked[:5]
        ]
        return {"seconds": seconds, "scores": [found[i : i + 4] for i in range(0, len(found), 4)], "ids": ids}


def serve(folder: Path, side: str) -> None:
    runner: Any = Tunesmith(folder) if side == "tunesmith" else Harness(folder)
    for line in sys.stdin:
        answer = runner.rank(json.loads(line))
        about = {"versions": {n: metadata.version(n) for n in PACKAGES[side]}, "threads": threads()}
        print("ANSWER " + json.dumps({**answer, **about}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Path(args.serve[0]), args.serve[1])
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), 10, {**model("13m"), "max_position_embeddings": 4096})
        quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_OFFLINE": "1"}
        sides = {}
        for side, python in (("tunesmith", sys.executable), ("lm_eval", args.peer_python)):
            command = [python, __file__, "--serve", name, side]
            sides[side] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet
            )

        def ask(side: str, what: list[dict[str, Any]]) -> dict[str, Any]:
            process = sides[side]
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(what) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith("ANSWER "):
                    answer: dict[str, Any] = json.loads(line[7:])
                    return answer
            raise SystemExit(f"{side} stopped; run it by hand: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]

        asked = questions(args.questions)
        about = {side: ask(side, asked[WAYS[0]][:8]) for side in sides}  # also warms up
        result: dict[str, Any] = {"benchmark": "rank"}
        for way in WAYS:
            times: dict[str, list[float]] = {side: [] for side in sides}
            found: dict[str, Any] = {}
            for _ in range(args.turns):
                for side in sides:
                    found[side] = ask(side, asked[way])
                    times[side].append(found[side]["seconds"])
            ours, theirs = found["tunesmith"], found["lm_eval"]
            if ours["ids"] != theirs["ids"]:
                raise SystemExit("the sides do not ask the same ids")
            apart = max(
                abs(a - b)
                for x, y in zip(ours["scores"], theirs["scores"], strict=True)
                for a, b in zip(x, y, strict=True)
            )
            changed = sum(
                x.index(max(x)) != y.index(max(y)) for x, y in zip(ours["scores"], theirs["scores"], strict=True)
            )
            requests = 4 * args.questions
            mine, other = (statistics.median(times[side]) for side in ("tunesmith", "lm_eval"))
            result[way] = {
                "tunesmith_requests_per_s": round(requests / mine, 1),
                "lm_eval_requests_per_s": round(requests / other, 1),
                "ratio": round(other / mine, 2),
                "largest_difference": apart,
                "choices_changed": changed,
            }
            print(f"{way}: {result[way]}", flush=True)
        for process in sides.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    result |= {"questions": args.questions, "turns": args.turns, "cores": os.cpu_count()}
    result |= {side: {k: about[side][k] for k in ("versions", "threads")} for side in about}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
