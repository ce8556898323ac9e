"""How fast a small model is tuned on CPU: tunesmith and TRL, the same model, rows and loss.

    python benchmarks/train_cpu.py [--size 13m|110m] [--learn answers,all] [--lora] [--turns 3] [--steps 4] [--curve 50]

A Llama of 13M or 110M parameters with a vocabulary of 32k starts from the same weights on both sides and learns from
T0 conversations, about 4 x 1024 tokens a step, AdamW, with each side's own loop and default attention. What is learned
are the answers, which are one token in twenty (our best case: no logits are computed elsewhere), and then all tokens:

- tunesmith: `train(..., "sft", ...)`, and `"pretrain"` for all tokens;
- TRL: `SFTTrainer` without gradient checkpointing (it would be slower), packed, and unpacked with rows of like length
  together.

With `--lora` both train an adapter of rank 16 on all linear layers, TRL through PEFT. With `--curve N` both first take
N steps in float32 on the same conversations in the same order, and their losses are compared step by step.

Ours is also run with `recompute` and 1024 tokens at once, which trades speed for memory and is reported beside. Every
setting runs in a process of its own, so that peak memory is its own. Both sides try float32 and bfloat16, TRL also one
and four packed rows in a forward pass, and rows that are not packed; after the first turn the fastest setting of each
side goes on. Sides take turns and medians count. Tokens are real ones, never padding. At the end the fastest settings
compute with one thread each, and the seconds that the processor has worked are counted: other work on the machine does
not change them much. First of all the loss of the same untrained model on
the same conversations is compared in float32. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from encode import GENERATION, ROOT, gpt2_style, t0_conversations

SHAPES = {"13m": (256, 688, 6, 8), "110m": (768, 2048, 12, 12)}
"""Width, inner width, layers and heads of a Llama."""


def model(size: str) -> dict[str, Any]:
    width, inner, layers, heads = SHAPES[size]
    return {
        "model_type": "llama",
        "vocab_size": 32_000,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }


LENGTH = 1024
ROWS_A_STEP = 4
COMPARED = 24
"""Conversations whose loss is compared."""
CURVE_ROWS = 16
"""Conversations in a step of the curve."""
LEARNING_RATE = 3e-4
RANK, ALPHA = 16, 32
UNPACKED = 8
"""Conversations at once where the other side does not pack."""
PACKAGES = {"tunesmith": ("tunesmith", "torch", "transformers"), "trl": ("trl", "torch", "transformers", "accelerate")}


def peak_mb() -> float:
    """Peak memory of this process alone."""
    try:
        # ru_maxrss would also count what the parent held when it forked us.
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """The time and the processor's time at the end of each step, and the tokens of each."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.worked: list[float] = []
        self.tokens: list[int] = []

    def note(self) -> None:
        self.times.append(time.perf_counter())
        self.worked.append(time.process_time())

    def speed(self) -> dict[str, float]:
        """Tokens a second from the end of the first step, which warms up, to the end of the last."""
        tokens = sum(self.tokens[1:])
        return {
            "rate": tokens / (self.times[-1] - self.times[0]),
            "worked_ms_a_token": 1000 * (self.worked[-1] - self.worked[0]) / tokens,
            "tokens": sum(self.tokens),
            "peak_mb": peak_mb(),
        }


class Tunesmith:
    """Our side of the comparison, in the process of one setting."""

    def __init__(self, folder: Path, precision: str, lora: bool, learn: str) -> None:
        from transformers import AutoTokenizer

        from tunesmith.chat import ChatFormat
        from tunesmith.plan import TokenStore

        self.folder, self.lora, self.learn = folder, lora, learn
        self.precision, _, self.recompute = precision.partition("+")
        fmt = ChatFormat.named("chatml", AutoTokenizer.from_pretrained(folder))
        self.store = TokenStore.of(fmt.encode_many(conversations(folder), max_length=LENGTH))

    def loss(self) -> dict[str, float]:
        import torch

        from tunesmith.models.load import load_model
        from tunesmith.models.policy import Policy
        from tunesmith.plan import Item
        from tunesmith.train.objectives.sft import Sft

        batch = Sft().batch([tuple(Item("t0", i) for i in range(COMPARED))], {"t0": self.store}, "cpu")
        with torch.no_grad():
            total = Sft().loss(Policy(load_model(self.folder)), batch).total
        return {"loss": float(total) / batch.learned, "learned": batch.learned}

    def curve(self, steps: int) -> dict[str, Any]:
        """Our loop's parts on batches that are given; the loop itself would draw its own."""
        import torch

        from tunesmith.models.adapter import Adapter
        from tunesmith.models.load import load_model
        from tunesmith.models.lowrank import attach
        from tunesmith.models.policy import Policy
        from tunesmith.plan import Item
        from tunesmith.train.accumulate import accumulate
        from tunesmith.train.objectives.sft import Sft
        from tunesmith.train.optim import Optimizer, Weights

        model = load_model(self.folder)
        if self.lora:
            attach(model, Adapter(rank=RANK, alpha=ALPHA), seed=0)
        weights = Weights(model, optimizer="adamw", dtype=torch.float32)
        optimizer, policy, losses = Optimizer(weights, weight_decay=0.0), Policy(model.train()), []
        for step in range(steps):
            rows = [tuple(Item("t0", step * CURVE_ROWS + i) for i in range(CURVE_ROWS))]
            losses.append(accumulate(policy, Sft(), [Sft().batch(rows, {"t0": self.store}, "cpu")], weights).loss)
            weights.clip(1.0)
            optimizer.step(LEARNING_RATE)
        return {"losses": losses}

    def train(self, turn: int, steps: int) -> dict[str, float]:
        from tunesmith.train.loop import train
        from tunesmith.train.settings import TrainSettings

        settings = TrainSettings.model_validate(
            {
                "steps": steps,
                "batch_tokens": ROWS_A_STEP * LENGTH,
                "row_length": LENGTH,
                "optimizer": "adamw",
                "lr": LEARNING_RATE,
                "precision": self.precision,
                "save_every": 10**6,
                "seed": turn,
                **({"recompute": "layers", "tokens_at_once": 1024} if self.recompute else {}),
                "adapter": {"rank": RANK, "alpha": ALPHA} if self.lora else None,
            }
        )
        clock = Clock()

        def note(event: Any) -> None:
            clock.note()
            clock.tokens.append(event.tokens)

        out = self.folder / f"ours.{self.learn}.{self.precision}{self.recompute}.{os.getpid()}.{turn}"
        objective = "sft" if self.learn == "answers" else "pretrain"
        train(self.folder, objective, {"t0": self.store}, {"t0": 1.0}, settings, out, on_event=note, progress=False)
        return clock.speed()


class TRL:
    """The other side, in the peers' environment."""

    def __init__(self, folder: Path, precision: str, rows_at_once: int, lora: bool, learn: str) -> None:
        import datasets
        from transformers import AutoTokenizer

        datasets.disable_progress_bars()
        datasets.disable_caching()
        self.folder, self.precision, self.rows_at_once, self.lora = folder, precision, rows_at_once, lora
        self.learn = learn
        self.tok = AutoTokenizer.from_pretrained(folder)
        self.tok.chat_template = GENERATION
        self.tok.pad_token = self.tok.eos_token

    def _trainer(self, rows: list[list[dict[str, str]]], seed: int, steps: int, **changed: Any) -> Any:
        import datasets
        import torch
        import trl
        from transformers import AutoModelForCausalLM

        values: dict[str, Any] = {
            "output_dir": str(self.folder / "trl"),
            "assistant_only_loss": self.learn == "answers",
            "max_length": LENGTH,
            **self._layout(),
            "gradient_checkpointing": False,
            "max_steps": steps,
            "learning_rate": LEARNING_RATE,
            "bf16": self.precision == "bf16",
            "use_cpu": True,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "seed": seed,
        }
        args = trl.SFTConfig(**{**values, **changed})
        adapter = None
        if self.lora:
            import peft

            adapter = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
        return trl.SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32),
            args=args,
            train_dataset=datasets.Dataset.from_list([{"messages": m} for m in rows]),
            processing_class=self.tok,
            peft_config=adapter,
        )

    def _layout(self) -> dict[str, Any]:
        """Packed rows of ``LENGTH``, so many at once; or, at 0, as many conversations as have about as many tokens."""
        if self.rows_at_once:
            return {
                "packing": True,
                "per_device_train_batch_size": self.rows_at_once,
                "gradient_accumulation_steps": ROWS_A_STEP // self.rows_at_once,
            }
        return {
            "packing": False,
            "train_sampling_strategy": "group_by_length",
            "per_device_train_batch_size": UNPACKED,
            "gradient_accumulation_steps": max(1, round(ROWS_A_STEP * LENGTH / (UNPACKED * self._mean_length()))),
        }

    def _mean_length(self) -> float:
        some = conversations(self.folder)[:200]
        return statistics.mean(len(self.tok.apply_chat_template(c, tokenize=True, return_dict=False)) for c in some)

    def curve(self, steps: int) -> dict[str, Any]:
        same = {
            "packing": False,
            "per_device_train_batch_size": CURVE_ROWS,
            "gradient_accumulation_steps": 1,
            "lr_scheduler_type": "constant",
            "adam_beta2": 0.95,
            "max_grad_norm": 1.0,
            "weight_decay": 0.0,
            "logging_steps": 1,
            "train_sampling_strategy": "sequential",
            "shuffle_dataset": False,
        }
        trainer = self._trainer(conversations(self.folder)[: steps * CURVE_ROWS], 0, steps, **same)
        trainer.train()
        return {"losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]}

    def loss(self) -> dict[str, float]:
        import torch

        trainer = self._trainer(conversations(self.folder)[:COMPARED], 0, 1)
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
        learned = int((batch["labels"] != -100).sum())
        with torch.no_grad():
            return {"loss": float(trainer.compute_loss(trainer.model, batch)), "learned": learned}

    def train(self, turn: int, steps: int) -> dict[str, float]:
        from transformers import TrainerCallback

        trainer = self._trainer(conversations(self.folder), turn, steps)
        clock = Clock()
        original = trainer.training_step

        def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            # Packed rows are laid end to end without padding; should that change, padding is not to be counted.
            mask = inputs.get("attention_mask")
            clock.tokens[-1] += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            return original(model, inputs, *args, **kwargs)

        class Steps(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                clock.tokens.append(0)

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                clock.note()

        trainer.training_step = counted
        trainer.add_callback(Steps())
        trainer.train()
        return clock.speed()


def conversations(folder: Path) -> list[list[dict[str, str]]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")]


def serve_with(runner: Any, side: str) -> None:
    """Run one setting: a JSON command a line on stdin, an answer a line on stdout."""
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        answer = getattr(runner, do)(**command)
        about = {"versions": {n: metadata.version(n) for n in PACKAGES[side]}, "threads": threads()}
        print("ANSWER " + json.dumps({**answer, **about}), flush=True)


def threads() -> int:
    import torch

    return torch.get_num_threads()


class Stopped(Exception):
    """A side did not come to the end."""


@dataclass
class Setting:
    """A process that trains one way, and how fast it was."""

    name: str
    command: list[str]
    rates: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """What it answered last."""
    peak_mb: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    alone: bool = False
    """Whether it computes with one thread."""

    def __str__(self) -> str:
        return self.name

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def ask(self, **what: Any) -> dict[str, Any]:
        if self.process is None:
            quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
            quiet |= {"OMP_NUM_THREADS": "1"} if self.alone else {}
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=quiet,
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                answer: dict[str, Any] = json.loads(line[7:])
                self.about = {k: answer[k] for k in ("versions", "threads")}
                return answer
        raise Stopped(f"{self} stopped; run it by hand: {' '.join(self.command)} <<< '{json.dumps(what)}'")

    def take_turn(self, turn: int, steps: int) -> None:
        try:
            answer = self.ask(do="train", turn=turn, steps=steps)
        except Stopped as stopped:
            self.rates.append(0.0)  # out of memory, most likely
            print(f"{turn + 1}. {stopped}", flush=True)
            return
        self.rates.append(answer["rate"])
        self.peak_mb, self.last = answer["peak_mb"], answer
        print(f"{turn + 1}. {self}: {answer['rate']:,.0f} tokens/s, peak {self.peak_mb:,.0f} MB", flush=True)

    def stop(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def prepare(folder: Path, rows: int, fields: dict[str, Any]) -> None:
    """Conversations, tokenizer and the weights that both sides start from."""
    from transformers.utils import logging

    from tunesmith.models.load import load_model

    logging.disable_progress_bar()
    found = t0_conversations(max(rows, 12_000))
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(c) + "\n" for c in found[:rows])
    load_model(fields, seed=0).save_pretrained(folder)
    # 31,998 and the two delimiters of ChatML.
    tok = gpt2_style((m["content"] for c in found[:12_000] for m in c), fields["vocab_size"] - 2)
    tok.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tok.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1500, help="conversations to train on")
    parser.add_argument("--learn", default="answers,all", help="what is learned: answers, all, or both")
    parser.add_argument("--lora", action="store_true", help="an adapter instead of all weights")
    parser.add_argument("--curve", type=int, default=0, help="steps whose losses are compared one by one")
    parser.add_argument("--size", choices=SHAPES, default="13m")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn; the first is not counted")
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--serve", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        folder, side, precision, rows_at_once, lora, learn = args.serve
        adapted = lora == "lora"
        if side == "tunesmith":
            serve_with(Tunesmith(Path(folder), precision, adapted, learn), side)
        else:
            serve_with(TRL(Path(folder), precision, int(rows_at_once), adapted, learn), side)
        return

    with tempfile.TemporaryDirectory() as name:
        print("making the tokenizer and the model ...", flush=True)
        prepare(Path(name), args.rows, model(args.size))

        def setting(side: str, precision: str, rows_at_once: int, learn: str = "answers") -> Setting:
            python = sys.executable if side == "tunesmith" else args.peer_python
            lora = "lora" if args.lora else "full"
            command = [python, __file__, "--serve", name, side, precision, str(rows_at_once), lora, learn]
            how = f"{rows_at_once} of {ROWS_A_STEP} rows at once" if rows_at_once else "unpacked, by length"
            return Setting(f"{side}, {precision}, {how}, {learn} learned", command)

        pair = [setting(side, "fp32", ROWS_A_STEP if side == "tunesmith" else 1) for side in ("tunesmith", "trl")]
        losses = [one.ask(do="loss") for one in pair]
        difference = abs(losses[0]["loss"] - losses[1]["loss"])
        print(f"loss on the same batch: tunesmith {losses[0]['loss']:.7f}, trl {losses[1]['loss']:.7f}", flush=True)
        if losses[0]["learned"] != losses[1]["learned"] or not difference <= 1e-4:
            raise SystemExit(f"the sides do not compute the same: {losses}")
        apart = None
        if args.curve:
            curves = [one.ask(do="curve", steps=args.curve)["losses"] for one in pair]
            apart = max(abs(a - b) for a, b in zip(*curves, strict=True))
            print(f"over {args.curve} steps from {curves[0][0]:.4f} to {curves[0][-1]:.4f}: never {apart:.1e} apart")
        for one in pair:
            one.stop()  # a fresh process has a peak memory of its own

        learned = {}
        for learn in args.learn.split(","):
            ours = [setting("tunesmith", p, ROWS_A_STEP, learn) for p in ("fp32", "bf16")]
            ours += [setting("tunesmith", f"{p}+recompute", ROWS_A_STEP, learn) for p in ("fp32", "bf16")]
            theirs = [setting("trl", p, n, learn) for p in ("fp32", "bf16") for n in (1, ROWS_A_STEP, 0)]
            learned[learn] = compare(ours, theirs, args.turns, args.steps)

    first = learned[args.learn.split(",")[0]]
    result = {
        "benchmark": "train_cpu",
        **{name: first[name] for name in first if name not in ("tried", "ours", "peer")},
        "learned": learned,
        "loss": {"tunesmith": losses[0]["loss"], "trl": losses[1]["loss"], "difference": difference},
        "curve": {"steps": args.curve, "largest_difference": apart},
        "lora": args.lora,
        "settings": {"model": model(args.size), "max_length": LENGTH, "rows_a_step": ROWS_A_STEP, "optimizer": "adamw"},
        "turns": args.turns,
        "steps": args.steps,
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


def compare(ours: list[Setting], theirs: list[Setting], turns: int, steps: int) -> dict[str, Any]:
    """Try every setting once, then the fastest of each side and our leanest in turns; at the end with one thread."""
    for each in (ours[0], *theirs[:2], *ours[1:], *theirs[2:]):
        each.take_turn(0, steps)
    plain, lean = ours[:2], ours[2:]
    best = [max(side, key=lambda s: s.rate) for side in (plain, theirs, lean)]
    for each in ours + theirs:
        if each not in best:
            each.stop()
    for turn in range(1, turns):
        for each in best:
            each.take_turn(turn, steps)
    for each in best:
        each.stop()
    fast, peer, again = best
    one_thread = [Setting(f"{each}, one thread", each.command, alone=True) for each in (fast, peer)]
    for each in one_thread:
        each.take_turn(0, steps)
        each.stop()
    worked = [each.last.get("worked_ms_a_token", 0.0) for each in one_thread]
    return {
        "tunesmith_tokens_per_s": round(fast.rate),
        "trl_tokens_per_s": round(peer.rate),
        "ratio": round(fast.rate / peer.rate, 2),
        "tunesmith_peak_mb": round(fast.peak_mb),
        "trl_peak_mb": round(peer.peak_mb),
        "memory_ratio": round(fast.peak_mb / peer.peak_mb, 2),
        "one_thread": {
            "tunesmith_cpu_ms_a_token": round(worked[0], 3),
            "trl_cpu_ms_a_token": round(worked[1], 3),
            "ratio": round(worked[1] / worked[0], 2) if worked[0] else None,
        },
        "layers_computed_again": {
            "tokens_per_s": round(again.rate),
            "ratio": round(again.rate / peer.rate, 2),
            "peak_mb": round(again.peak_mb),
            "memory_ratio": round(again.peak_mb / peer.peak_mb, 2),
        },
        "counted": [str(fast), str(peer)],
        "tried": {str(s): {"tokens_per_s": round(s.rate), "peak_mb": round(s.peak_mb)} for s in ours + theirs},
        "ours": fast.about,
        "peer": peer.about,
    }


if __name__ == "__main__":
    main()
