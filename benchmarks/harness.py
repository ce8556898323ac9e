"""Tasks of lm-evaluation-harness by its own ``hf`` model and by ours, the same process, model and tasks.

    python benchmarks/harness.py [--questions 100] [--turns 3]

A Llama of 13M parameters in float32, questions made of T0 rows: four options each, without examples, with five of its
own before each question, and with the same five before all; and answers of up to 32 tokens. Timed is all of
``simple_evaluate``: the harness builds the requests and counts on both sides, ``hf`` with a batch of 16. Figures are
compared first. Sides take turns, and medians count. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from rank import short_rows
from train_cpu import model, prepare, threads

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/test.jsonl, train: {folder}/train.jsonl}}}}
test_split: test
fewshot_split: train
doc_to_text: "Question: {{{{q}}}}\\nAnswer:"
"""
CHOICE = """\
output_type: multiple_choice
doc_to_target: answer
doc_to_choice: "{{options}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
ANSWER = """\
output_type: generate_until
doc_to_target: "{{options[answer]}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 32}
metric_list: [{metric: exact_match}]
"""
TASKS = {"choice": CHOICE, "choice_same": f"{CHOICE}fewshot_config: {{sampler: first_n}}\n", "answer": ANSWER}
WAYS = {
    "options, 0-shot": ("choice", 0),
    "options, 5-shot, own examples": ("choice", 5),
    "options, 5-shot, the same examples": ("choice_same", 5),
    "answers": ("answer", 0),
}


def write_tasks(folder: Path, count: int) -> None:
    """The task files and their rows: short questions of T0, the right answer and those of three others."""
    draw = random.Random(0)
    rows = short_rows(draw)
    for split, some in (("test", rows[:count]), ("train", rows[count : count + 200])):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for asked, said in some:
                others = [s for s in dict.fromkeys(s for _, s in draw.sample(rows, 20)) if s != said][:3]
                options = draw.sample([said, *others], 4)
                row = {"q": asked, "options": options, "answer": options.index(said)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for name, rest in TASKS.items():
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, folder=folder) + rest, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from tunesmith.evals.harness.model import HarnessModel

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
        (folder / "model").mkdir()
        prepare(folder / "model", 10, {**model("13m"), "max_position_embeddings": 4096})
        write_tasks(folder, args.questions)
        tasks = TaskManager(include_path=name, include_defaults=False)
        sides: dict[str, Any] = {
            "tunesmith": HarnessModel.open(folder / "model"),
            "lm_eval": HFLM(str(folder / "model"), dtype=torch.float32, device="cpu", batch_size=16),
        }

        def run(side: str, task: str, shots: int) -> tuple[float, dict[str, Any]]:
            began = time.perf_counter()
            found = lm_eval.simple_evaluate(
                model=sides[side],
                tasks=[task],
                num_fewshot=shots,
                task_manager=tasks,
                bootstrap_iters=0,
                limit=args.questions,
            )
            assert found is not None
            return time.perf_counter() - began, dict(found)

        for side in sides:  # warms up, and lets the harness keep its rows
            run(side, "choice", 0)
        result: dict[str, Any] = {"benchmark": "harness"}
        for way, (task, shots) in WAYS.items():
            times: dict[str, list[float]] = {side: [] for side in sides}
            found: dict[str, dict[str, Any]] = {}
            for _ in range(args.turns):
                for side in sides:
                    seconds, found[side] = run(side, task, shots)
                    times[side].append(seconds)
            mine, other = (statistics.median(times[side]) for side in sides)
            figures = [{k: v for k, v in found[side]["results"][task].items() if k != "alias"} for side in sides]
            answers = [[one["filtered_resps"] for one in found[side]["samples"][task]] for side in sides]
            line: dict[str, Any] = {
                "tunesmith_s": round(mine, 2),
                "lm_eval_s": round(other, 2),
                "ratio": round(other / mine, 2),
                "same_figures": figures[0] == figures[1],
            }
            if task == "answer":
                line["same_answers"] = sum(a == b for a, b in zip(*answers, strict=True))
            else:
                both = [(a, b) for x, y in zip(*answers, strict=True) for (a, _), (b, _) in zip(x, y, strict=True)]
                line["largest_difference"] = max(abs(a - b) for a, b in both)
            result[way] = line
            print(f"{way}: {line}", flush=True)
    versions = {name: metadata.version(name) for name in ("tunesmith", "lm_eval", "torch", "transformers")}
    print(json.dumps({**result, "questions": args.questions, "versions": versions, "threads": threads()}))


if __name__ == "__main__":
    main()
