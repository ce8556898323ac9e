"""Free answers to many prompts, ours and transformers' own continuous batching, the same model and prompts.

    python benchmarks/generate.py [--prompts 64] [--turns 3]

A Llama of 28 M parameters with fresh weights, in float32; nearly every answer runs to its limit. The answers are
compared first. Ends with one line of JSON.
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

from tunesmith.models.generate import generate

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

    same = sum(a == b for a, b in zip(ours(), theirs(), strict=True))
    print(f"{same} of {len(prompts)} answers are the same")
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(args.turns):
        for name, run in (("ours", ours), ("theirs", theirs)):
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
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
