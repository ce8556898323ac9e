"""How fast a model of a billion parameters is tuned on a GPU: tunesmith and TRL, the same model, rows and loss.

    python benchmarks/train_gpu.py [--size 1b|tiny] [--turns 3] [--steps 12]

A random Llama learns the answers of T0 conversations in bfloat16, 16 packed rows of 4,096 tokens a step, by AdamW:

- tunesmith: `train(..., "sft", ...)` with 16k and 32k tokens at once;
- TRL: `SFTTrainer` with packing, assistant-only loss and no gradient checkpointing; SDPA or flash-attention 2, plain or
  Liger's kernels, plain or compiled: each way that is installed.

Every setting runs in a process of its own. After the first turn the fastest of each side goes on; sides take turns and
medians count, of tokens that are learned, a second. Then an adapter of rank 16 is trained on a model of eight billion
parameters with rows of 8,192 tokens, to see that memory suffices. `--size tiny` runs the same on a CPU, to see that the
script works. The last line is one JSON object; without a GPU it says so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import train_cpu
from encode import GENERATION, ROOT
from train_cpu import Setting, conversations, prepare, serve_with

SHAPES = {"1b": (2048, 8192, 16, 32, 8), "8b": (4096, 14336, 32, 32, 8), "tiny": (64, 128, 2, 4, 2)}
"""Width, inner width, layers, heads and key heads of a Llama."""
ROWS = {"1b": (4096, 16), "tiny": (512, 4)}
"""Tokens of a row, and rows a step. The model of eight billion parameters gets rows of twice the length."""
WARM = 3
"""Steps before the clock starts: kernels are chosen and compiled in them."""


def model(size: str) -> dict[str, Any]:
    width, inner, layers, heads, keys = SHAPES[size]
    return {
        "model_type": "llama",
        "vocab_size": 32_000,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }


def precision() -> str:
    import torch

    return "bf16" if torch.cuda.is_available() else "fp32"


def speed(times: list[float], tokens: list[int], learned: list[int]) -> dict[str, Any]:
    """Rates after the steps that warm up."""
    import torch

    seconds = times[-1] - times[WARM - 1]
    gpu = torch.cuda.is_available()
    return {
        "rate": sum(learned[WARM:]) / seconds,
        "tokens_per_s": sum(tokens[WARM:]) / seconds,
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if gpu else train_cpu.peak_mb(),
        "device": torch.cuda.get_device_name() if gpu else "CPU",
    }


class Tunesmith:
    """Our side, in the process of one setting: so many tokens at once."""

    def __init__(self, folder: Path, way: str, size: str) -> None:
        from transformers import AutoTokenizer

        from tunesmith.chat import ChatFormat
        from tunesmith.plan import TokenStore

        self.folder, self.way, (self.length, self.rows) = folder, int(way), ROWS[size]
        fmt = ChatFormat.named("chatml", AutoTokenizer.from_pretrained(folder))
        self.store = TokenStore.of(fmt.encode_many(conversations(folder), max_length=self.length))

    def train(self, turn: int, steps: int, **changed: Any) -> dict[str, Any]:
        from tunesmith.train.loop import train
        from tunesmith.train.settings import TrainSettings

        values = {
            "steps": steps + WARM,
            "batch_tokens": self.rows * self.length,
            "row_length": self.length,
            "tokens_at_once": self.way,
            "optimizer": "adamw",
            "lr": 1e-4,
            "precision": precision(),
            "save_every": 10**6,
            "seed": turn,
            "track": [],
        }
        events: list[Any] = []
        times: list[float] = []

        def note(event: Any) -> None:
            times.append(time.perf_counter())
            events.append(event)

        out = self.folder / f"ours.{self.way}.{turn}.{len(changed)}"
        base = changed.pop("base", self.folder)
        settings = TrainSettings.model_validate({**values, **changed})
        train(base, "sft", {"t0": self.store}, {"t0": 1.0}, settings, out, on_event=note, progress=False)
        shares = sorted(e.flops_share for e in events[WARM:])
        return {
            **speed(times, [e.tokens for e in events], [e.learned for e in events]),
            "flops_share": shares[len(shares) // 2],
            "mfu": sorted(e.mfu or 0.0 for e in events[WARM:])[len(shares) // 2],
        }

    def eight_billion(self, steps: int) -> dict[str, Any]:
        """An adapter on a model that is made here and fits a GPU once, with rows of twice the length."""
        return self.train(
            0,
            steps,
            base=model("8b" if precision() == "bf16" else "tiny"),
            adapter={"rank": 16},
            row_length=2 * self.length,
            tokens_at_once=2 * self.length,
            batch_tokens=8 * self.length,
            recompute=True,
        )


class TRL:
    """The other side: attention, kernels and compilation by name."""

    def __init__(self, folder: Path, way: str, size: str) -> None:
        import datasets
        from transformers import AutoTokenizer

        datasets.disable_progress_bars()
        self.folder, (self.length, self.rows) = folder, ROWS[size]
        self.attention, self.kernels, self.compiled = way.split("+")
        self.tok = AutoTokenizer.from_pretrained(folder)
        self.tok.chat_template = GENERATION
        self.tok.pad_token = self.tok.eos_token

    def train(self, turn: int, steps: int) -> dict[str, Any]:
        import datasets
        import torch
        import trl
        from transformers import AutoModelForCausalLM, TrainerCallback

        gpu = torch.cuda.is_available()
        args = trl.SFTConfig(
            output_dir=str(self.folder / "trl"),
            assistant_only_loss=True,
            packing=True,
            max_length=self.length,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=self.rows // 4,
            gradient_checkpointing=False,
            max_steps=steps + WARM,
            learning_rate=1e-4,
            bf16=gpu,
            use_cpu=not gpu,
            use_liger_kernel=self.kernels == "liger",
            torch_compile=self.compiled == "compiled",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=turn,
        )
        trainer = trl.SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=torch.float32, attn_implementation=self.attention
            ),
            args=args,
            train_dataset=datasets.Dataset.from_list([{"messages": m} for m in conversations(self.folder)]),
            processing_class=self.tok,
        )
        times: list[float] = []
        tokens: list[int] = []
        learned: list[int] = []
        original = trainer.training_step

        def counted(model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            mask = inputs.get("attention_mask")
            tokens[-1] += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            learned[-1] += int((inputs["labels"] != -100).sum())
            return original(model, inputs, *more, **named)

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *given: Any, **named: Any) -> None:
                tokens.append(0)
                learned.append(0)

            def on_step_end(self, *given: Any, **named: Any) -> None:
                if gpu:
                    torch.cuda.synchronize()
                times.append(time.perf_counter())

        trainer.training_step = counted
        trainer.add_callback(Clock())
        trainer.train()
        return speed(times, tokens, learned)


def ways_of_trl(peer_python: str) -> list[str]:
    """What is installed beside TRL."""
    found = {}
    for name in ("flash_attn", "liger_kernel"):
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
        found[name] = subprocess.run([peer_python, "-c", code], check=False).returncode == 0
    attentions = ["sdpa", *["flash_attention_2"] * found["flash_attn"]]
    kernels = ["plain", *["liger"] * found["liger_kernel"]]
    return ["+".join(way) for way in itertools.product(attentions, kernels, ("eager", "compiled"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("1b", "tiny"), default="1b")
    parser.add_argument("--rows", type=int, default=20_000, help="conversations to train on")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        folder, side, way, size = args.serve
        serve_with(Tunesmith(Path(folder), way, size) if side == "tunesmith" else TRL(Path(folder), way, size), side)
        return
    if args.size != "tiny" and (importlib.util.find_spec("torch") is None or not _has_gpu()):
        print(json.dumps({"benchmark": "train_gpu", "left_out": "no GPU here"}))
        return

    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), args.rows, model(args.size))

        def setting(side: str, way: str) -> Setting:
            python = sys.executable if side == "tunesmith" else args.peer_python
            return Setting(f"{side}, {way}", [python, __file__, "--serve", name, side, way, args.size])

        ours = [setting("tunesmith", way) for way in ("16384", "32768")]
        theirs = [setting("trl", way) for way in ways_of_trl(args.peer_python)]
        for each in ours + theirs:
            each.take_turn(0, args.steps)
            each.stop()  # the GPU's memory is for one
        fast, peer = (max(side, key=lambda s: s.rate) for side in (ours, theirs))
        for turn in range(1, args.turns):
            for each in (fast, peer):
                each.take_turn(turn, args.steps)
                each.stop()
        eight = fast.ask(do="eight_billion", steps=3)
        fast.stop()
    print(
        json.dumps(
            {
                "benchmark": "train_gpu",
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "device": fast.last["device"],
                "tunesmith_learned_per_s": round(fast.rate),
                "trl_learned_per_s": round(peer.rate),
                "ratio": round(fast.rate / peer.rate, 2),
                "tunesmith_flops_share": round(fast.last["flops_share"], 3),
                "tunesmith_mfu": round(fast.last["mfu"], 3),
                "tunesmith_peak_mb": round(fast.peak_mb),
                "trl_peak_mb": round(peer.peak_mb),
                "adapter_on_8b_at_8k": {k: round(eight[k]) for k in ("tokens_per_s", "peak_mb")},
                "counted": [str(fast), str(peer)],
                "tried": {str(s): round(s.rate) for s in ours + theirs},
                "settings": {
                    "model": model(args.size),
                    "length": ROWS[args.size][0],
                    "rows_a_step": ROWS[args.size][1],
                },
                "turns": args.turns,
                "steps": args.steps,
                "cores": os.cpu_count(),
                "ours": fast.about,
                "peer": peer.about,
            }
        )
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
