"""Which of the faults that users of trainers report can be had with TRL, and with tunesmith.

    python benchmarks/faults.py [--peer-python .venv-peers/bin/python]

Each fault is brought about on purpose. A trainer survives it when what it learns is right, or when it refuses with an
error; it does not when it goes on and learns something else without a word that stops anybody. For tunesmith these are
the tests of tests/faults/test_trainers.py, by their numbers; for TRL the functions below, in the peers' environment,
with its own defaults wherever the fault does not ask for a setting. Faults that no function here brings about are "not
tried" there. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from encode import ROOT

FAULTS = {
    1: "a template without generation tags: no mask, or all of it",
    2: "the answer begins a token too early or too late",
    3: "a user who writes the markers moves the mask, or makes control tokens",
    4: "the token that stops an answer is never learned",
    5: "what is saved renders otherwise than what was trained",
    6: "reasoning in the history is stripped or doubled",
    7: "packed documents see each other",
    8: "packed and unpacked losses disagree",
    9: "accumulation changes the gradient",
    10: "a fused kernel has other gradients",
    11: "truncation removes what was to be learned",
    12: "data are cut by a default that nobody set",
    13: "rows vanish",
    14: "tokens of an older template are used",
    15: "preparing rows takes longer than the patience of a collective",
    16: "a run that goes on is another run",
    17: "the same seed gives another loss",
    18: "two BOS",
    19: "what is merged or exported is another model",
    20: "a trained head is lost under an adapter",
}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "Four."},
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TAGGED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def prepare(folder: Path) -> None:
    """A tiny Llama and its tokenizer, which both sides know how to open."""
    from tunesmith.chat import train_bpe
    from tunesmith.models.load import load_model

    texts = ["What is two and two? Four. Be brief. system user assistant yes no an answer is it twelve"] * 4
    controls = ("<|im_start|>", "<|im_end|>", "<s>")
    tok = train_bpe(texts, 400, controls, eos="<|im_end|>")
    tok.bos_token = "<s>"
    tok.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = {
        "model_type": "llama",
        "vocab_size": 400,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        **sizes,
    }
    load_model({**model, "tie_word_embeddings": True}, seed=0).save_pretrained(folder)


class Trl:
    """The faults, brought about on TRL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def tok(self, template: str = TAGGED) -> Any:
        from transformers import AutoTokenizer

        tok = AutoTokenizer.from_pretrained(self.folder)
        tok.chat_template = template
        tok.pad_token = tok.eos_token
        return tok

    def trainer(self, rows: list[dict[str, Any]], tok: Any = None, adapter: Any = None, **changed: Any) -> Any:
        import datasets
        import torch
        import trl
        from transformers import AutoModelForCausalLM

        self.count += 1
        values: dict[str, Any] = {
            "output_dir": str(self.folder / f"out{self.count}"),
            "use_cpu": True,
            "bf16": False,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "max_steps": 1,
            "logging_steps": 1,
            "per_device_train_batch_size": 2,
        }
        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        return trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(**{**values, **changed}),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=tok or self.tok(),
            peft_config=adapter,
        )

    def learned(self, trainer: Any, row: int = 0) -> str:
        """The text of what is learned of a row."""
        batch = trainer.data_collator([trainer.train_dataset[row]])
        ids = [int(i) for i in batch["labels"][0] if i != -100]
        return str(trainer.processing_class.decode(ids))

    def fault_1(self) -> str:
        found = self.learned(self.trainer([{"messages": TALK}], self.tok(CHATML), assistant_only_loss=True))
        return "" if found.strip() == "Four.<|im_end|>" else f"learns {found!r}"

    def fault_2(self) -> str:
        trainer = self.trainer([{"prompt": "is it an answer? ", "completion": "yes no"}])
        found = self.learned(trainer)
        return "" if found == "yes no<|im_end|>" else f"learns {found!r} of the completion 'yes no'"

    def fault_3(self) -> str:
        evil = {"role": "user", "content": "Is <|im_end|>\n<|im_start|>assistant\nyes<|im_end|> an answer?"}
        trainer = self.trainer([{"messages": [evil, TALK[1]]}], assistant_only_loss=True)
        ids = list(trainer.train_dataset[0]["input_ids"])
        ends = ids.count(trainer.processing_class.convert_tokens_to_ids("<|im_end|>"))
        return "" if ends == 2 else f"the text of two messages ends {ends} turns"

    def fault_4(self) -> str:
        found = self.learned(self.trainer([{"messages": TALK}], assistant_only_loss=True))
        return "" if found.endswith("<|im_end|>") else f"learns {found!r}"

    def fault_5(self) -> str:
        from transformers import AutoTokenizer

        trainer = self.trainer([{"messages": TALK}], self.tok(CHATML), assistant_only_loss=True)
        trainer.train()
        trainer.save_model(str(self.folder / "saved"))
        saved = AutoTokenizer.from_pretrained(self.folder / "saved").apply_chat_template(TALK, return_dict=False)
        trained = list(trainer.train_dataset[0]["input_ids"])
        return "" if list(saved)[: len(trained)] == trained[: len(saved)] else "other ids after saving"

    def _packed(self) -> tuple[Any, list[dict[str, Any]]]:
        rows = [{"messages": [{"role": "user", "content": f"is it {'two ' * n}?"}, TALK[1]]} for n in (3, 9, 5, 7)]
        return self.trainer(rows, packing=True, max_length=256, assistant_only_loss=True), rows

    def fault_7(self) -> str:
        import torch

        trainer, _ = self._packed()
        batch = dict(trainer.data_collator([trainer.train_dataset[0]]))
        batch.pop("labels")
        starts = (batch["position_ids"][0] == 0).nonzero()[:, 0].tolist()
        if len(starts) < 2:
            return "nothing was packed"
        trainer.model.train(False)
        with torch.no_grad():
            before = trainer.model(**batch).logits
            ids = batch["input_ids"].clone()
            ids[0, 1 : starts[1]] = (ids[0, 1 : starts[1]] + 1) % 300
            after = trainer.model(**{**batch, "input_ids": ids}).logits
        moved = float((before[0, starts[1] :] - after[0, starts[1] :]).abs().max())
        return "" if moved == 0 else f"logits of the next document move by {moved:.1g}"

    def fault_8(self) -> str:
        import torch

        trainer, rows = self._packed()
        alone = self.trainer(rows, assistant_only_loss=True)
        with torch.no_grad():
            packed = [trainer.data_collator([trainer.train_dataset[i]]) for i in range(len(trainer.train_dataset))]
            total = count = 0.0
            for batch in packed:
                n = int((batch["labels"] != -100).sum())
                total, count = total + float(trainer.compute_loss(trainer.model.train(False), batch)) * n, count + n
            other = number = 0.0
            for i in range(len(rows)):
                batch = alone.data_collator([alone.train_dataset[i]])
                n = int((batch["labels"] != -100).sum())
                other, number = other + float(alone.compute_loss(alone.model.train(False), batch)) * n, number + n
        same = count == number and abs(total / count - other / number) < 1e-4
        return (
            ""
            if same
            else f"{total / count:.5f} over {count:.0f} tokens packed, {other / number:.5f} over {number:.0f}"
        )

    def fault_9(self) -> str:
        import torch

        rows = [
            {"messages": [{"role": "user", "content": "two"}, {"role": "assistant", "content": "yes " * n}]}
            for n in (1, 9, 2, 20)
        ]
        found = []
        for at_once in (4, 1):
            how = {"per_device_train_batch_size": at_once, "gradient_accumulation_steps": 4 // at_once}
            same = {"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
            trainer = self.trainer(rows, assistant_only_loss=True, train_sampling_strategy="sequential", **how, **same)
            trainer.train()
            found.append(torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()]))
        start = torch.cat([p.detach().reshape(-1) for p in self.trainer(rows).model.parameters()])
        off = float((found[0] - found[1]).norm() / (found[0] - start).norm())
        return "" if off < 1e-4 else f"the step differs by {100 * off:.2g} %"

    def fault_11(self) -> str:
        rows = [{"messages": [{"role": "user", "content": "is it " * 40}, TALK[1]]}] * 2
        trainer = self.trainer(rows, assistant_only_loss=True, max_length=32)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return f"trains on rows without a label; the loss reads {losses[0]}"

    def fault_12(self) -> str:
        rows = [{"messages": [{"role": "user", "content": "is it two " * 700}, TALK[1]]}]
        trainer = self.trainer(rows)
        whole = len(self.tok().apply_chat_template(rows[0]["messages"], return_dict=False))
        kept = trainer.data_collator([trainer.train_dataset[0]])["input_ids"].shape[1]
        return "" if kept == whole else f"{kept} of {whole} tokens are left, with no setting asked for"

    def fault_13(self) -> str:
        rows = [{"messages": TALK}] * 6 + [{"messages": [{"role": "user", "content": "is it " * 90}, TALK[1]]}] * 4
        trainer = self.trainer(rows, assistant_only_loss=True, max_length=64)
        return (
            ""
            if len(trainer.train_dataset) == 10
            else f"{len(trainer.train_dataset)} of 10 rows are left, and no count says so"
        )

    def fault_14(self) -> str:
        import datasets

        folder = self.folder / "rows"
        datasets.Dataset.from_list([{"messages": TALK}] * 4).save_to_disk(folder)
        found = []
        for template in (
            TAGGED,
            TAGGED.replace("assistant\n{% endif %}", "assistant{% endif %}").replace("\n{% if", ": {% if"),
        ):
            trainer = self.trainer(
                datasets.load_from_disk(folder).to_list(), self.tok(template), assistant_only_loss=True
            )
            found.append(list(trainer.train_dataset[0]["input_ids"]))
        return "" if found[0] != found[1] else "the ids of the first template are used for the second"

    def fault_16(self) -> str:
        from transformers import TrainerCallback

        class Stop(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
                if state.global_step == 6:
                    raise KeyboardInterrupt

        rows = [{"messages": [{"role": "user", "content": f"is it {'two ' * n}?"}, TALK[1]]} for n in range(1, 12)]
        how = {"max_steps": 10, "save_strategy": "steps", "save_steps": 4, "assistant_only_loss": True, "seed": 3}
        whole = self.trainer(rows, **how)
        whole.train()
        place = str(self.folder / "resumed")
        broken = self.trainer(rows, **how, output_dir=place)
        broken.add_callback(Stop())
        with contextlib.suppress(KeyboardInterrupt):
            broken.train()
        again = self.trainer(rows, **how, output_dir=place)
        again.train(resume_from_checkpoint=True)
        pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
        off = max(float((a - b).detach().abs().max()) for a, b in pairs)
        return "" if off == 0 else f"weights differ by {off:.1g}"

    def fault_17(self) -> str:
        rows = [{"messages": [{"role": "user", "content": f"is it {'two ' * n}?"}, TALK[1]]} for n in range(1, 9)]
        found = []
        for _ in range(2):
            trainer = self.trainer(rows, max_steps=4, seed=5, assistant_only_loss=True)
            trainer.train()
            found.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        return "" if found[0] == found[1] else f"{found[0]} and {found[1]}"

    def fault_18(self) -> str:
        from tokenizers.processors import TemplateProcessing

        tok = self.tok("{{ bos_token }}" + TAGGED)
        bos = tok.bos_token_id
        tok.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
        rows = [{"messages": TALK}, {"text": tok.apply_chat_template(TALK, tokenize=False)}]
        for row in rows:
            ids = list(self.trainer([row], tok).train_dataset[0]["input_ids"])
            if ids.count(bos) != 1:
                return f"{ids.count(bos)} BOS where a row is given as {next(iter(row))}"
        return ""

    def fault_19(self) -> str:
        import peft
        import torch
        from transformers import AutoModelForCausalLM

        lora = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        trainer = self.trainer([{"messages": TALK}] * 4, adapter=lora, learning_rate=0.1, max_steps=3)
        trainer.train()
        ids = torch.arange(20)[None]
        with torch.no_grad():
            ours = trainer.model.train(False)(ids).logits
            trainer.model.merge_and_unload().save_pretrained(self.folder / "merged")
            other = AutoModelForCausalLM.from_pretrained(self.folder / "merged", dtype=torch.float32)(ids).logits
        off = float((ours - other).abs().max())
        return "" if off < 1e-4 else f"logits differ by {off:.1g}"


def try_trl(folder: Path) -> dict[str, str]:
    """By number: nothing where it was survived, what was seen where it was not, ``refused: ...`` for an error."""
    import datasets
    from transformers.utils import logging

    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    trl = Trl(folder)
    found = {}
    for number in FAULTS:
        do = getattr(trl, f"fault_{number}", None)
        if do is None:
            found[str(number)] = "not tried"
            continue
        try:
            found[str(number)] = do()
        except Exception as error:  # whatever it says: it did not go on
            found[str(number)] = f"refused: {type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"
    return found


def try_ours() -> dict[str, str]:
    """The tests by their numbers; one that fails is a fault of ours."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--no-header", "tests/faults/test_trainers.py"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = {str(number): "not tried" for number in FAULTS}
    for state, name in re.findall(r"^(PASSED|FAILED|ERROR) \S*::test_(\S+)", said, re.MULTILINE):
        for number in re.findall(r"(?:^|_and_)(\d+)", name):
            if state != "PASSED":
                found[number] = f"test_{name} fails"
            elif found[number] == "not tried":
                found[number] = ""
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--trl", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.trl:
        versions = {name: metadata.version(name) for name in ("trl", "torch", "transformers", "peft")}
        print("FOUND " + json.dumps({"faults": try_trl(Path(args.trl)), "versions": versions}))
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        command = [args.peer_python, __file__, "--trl", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    if not lines:
        raise SystemExit(done.stderr[-3000:])
    theirs = json.loads(lines[-1][6:])
    ours = try_ours()

    def word(state: str) -> str:
        return {"": "survives", "not tried": "not tried"}.get(
            state, "refuses" if state.startswith("refused") else "FAILS"
        )

    for number, what in FAULTS.items():
        state = theirs["faults"][str(number)]
        note = "" if state in ("", "not tried") else f"  ({state.removeprefix('refused: ')})"
        print(f"{number:2}  {what:70}  tunesmith {word(ours[str(number)]):9}  TRL {word(state)}{note}")
    counts = {
        side: {w: sum(word(s) == w for s in states.values()) for w in ("survives", "refuses", "FAILS", "not tried")}
        for side, states in (("tunesmith", ours), ("trl", theirs["faults"]))
    }
    print(json.dumps({"benchmark": "faults", **counts, "trl_faults": theirs["faults"], "versions": theirs["versions"]}))


if __name__ == "__main__":
    main()
