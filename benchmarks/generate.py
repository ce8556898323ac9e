"""Free answers to many prompts: ours, transformers' own continuous batching, and ours without it.

    python benchmarks/generate.py [--prompts 64] [--turns 3]

A Llama of 28 M parameters with fresh weights, in float32. Against transformers nearly every answer runs to its limit.
What prompts that join a running batch are worth is measured on answers of very different lengths (each token ends one
with a chance of 1 in 40, up to 200 tokens), four times as many. Answers are compared first. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings

import numpy as np
import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from tunesmith.models import generate as engine
from tunesmith.models.generate import Sampling, generate

warnings.filterwarnings("ignore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    shape = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6, "num_attention_heads": 8}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8192, max_position_embeddings=1024, **shape)).eval()
    r = np.random.default_rng(0)
    prompts = [r.integers(5, 8000, int(n)).tolist() for n in r.integers(20, 60, args.prompts)]

    def ours() -> list[tuple[int, ...]]:
        model.set_attn_implementation("sdpa")
        said = generate(model, prompts, stop_ids=frozenset({8191}), max_new_tokens=args.tokens)
        return [one.ids for one in said]

    def theirs() -> list[tuple[int, ...]]:
        model.set_attn_implementation("paged|eager")  # the faster of the two that run on a CPU
        settings = GenerationConfig(
            max_new_tokens=args.tokens, do_sample=False, eos_token_id=8191, pad_token_id=0,
            num_blocks=512, max_batch_tokens=512,
        )  # fmt: skip
        found = model.generate_batch(prompts, generation_config=settings)
        order = sorted(found, key=lambda name: int(name.rpartition("_")[2]))
        return [tuple(found[name].generated_tokens) for name in order]

    many = [r.integers(205, 8000, int(n)).tolist() for n in r.integers(20, 60, 4 * args.prompts)]
    worth = engine._WORTH

    def uneven(least: int) -> list[tuple[int, ...]]:
        model.set_attn_implementation("sdpa")
        engine._WORTH = least
        stop = frozenset(range(205))
        said = generate(model, many, stop_ids=stop, max_new_tokens=200, sampling=Sampling(temperature=1.0, seed=3))
        return [one.ids for one in said]

    def joining() -> list[tuple[int, ...]]:
        return uneven(worth)

    def waiting() -> list[tuple[int, ...]]:
        return uneven(1 << 30)

    same = sum(a == b for a, b in zip(ours(), theirs(), strict=True))
    same_uneven = sum(a == b for a, b in zip(joining(), waiting(), strict=True))
    print(f"{same} of {len(prompts)} answers are the same; joining or waiting, {same_uneven} of {len(many)}")
    runs = (("ours", ours), ("theirs", theirs), ("joining", joining), ("waiting", waiting))
    seconds: dict[str, list[float]] = {name: [] for name, _ in runs}
    for _ in range(args.turns):
        for name, run in runs:
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
            print(f"{name:>8} {seconds[name][-1]:.1f} s")
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "generate", "same": same, "prompts": len(prompts), "seconds": middle,
                "ratio": round(middle["theirs"] / middle["ours"], 2), "transformers": transformers.__version__,
                "joining_ratio": round(middle["waiting"] / middle["joining"], 2), "same_uneven": same_uneven,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
