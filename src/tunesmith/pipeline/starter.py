"""A first recipe, written for somebody's data and model, with a comment on each line that a person may want to change.

    text = write(Order("lora", "chats-lora", "hub:Qwen/Qwen3-0.6B"), survey(["chats.jsonl"], "hub:Qwen/Qwen3-0.6B"))

The recipes of known families that the package carries are written by the same functions, so that both are of one kind.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tunesmith.core.document import Document
from tunesmith.core.errors import RecipeError, TunesmithError, counted
from tunesmith.pipeline.memory import line
from tunesmith.pipeline.recipe import parse
from tunesmith.pipeline.survey import Survey

KINDS = {
    "lora": "tune a model with small matrices beside its frozen weights (LoRA)",
    "full": "tune all weights of a model",
    "qlora": "LoRA on weights that are held in four bits (QLoRA)",
    "pretrain": "make a tokenizer, pretrain a small model on plain text, and tune it",
    "eval": "ask a model, and the one before it, what is held out",
}
FOREIGN = {
    "sft": "lora",
    "finetune": "lora",
    "fine-tune": "lora",
    "adapter": "lora",
    "peft": "lora",
    "freeze": "lora",
    "4bit": "qlora",
    "evaluate": "eval",
    "pt": "pretrain",
    "pretrain+tune": "pretrain",
}
"""What other programs call these."""
LR = {"lora": "2e-4", "qlora": "2e-4", "full": "2e-5"}
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
"""Row lengths that are proposed: the first that all rows of the sample fit into."""
BATCH_ROWS = 32
"""Rows of a batch, about, where there are enough of them."""
LEAST_STEPS = 100
"""Where there are few rows, batches are made smaller until there are about so many steps."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted."""

    kind: str
    name: str
    model: str = ""
    base: str = ""
    """For eval: the model before tuning."""


def write(order: Order, found: Survey) -> str:
    """The recipe's text. It has been checked as ``tunesmith run --check`` checks it."""
    if not found.tasks:
        text = f" {', '.join(found.text)} is plain text." if found.text else ""
        raise RecipeError(
            f"init {order.kind} needs rows with questions and answers.{text} Plain text alone is for init pretrain, "
            "beside such rows: tunesmith init pretrain text.txt chats.jsonl"
        )
    if order.kind == "pretrain" and not found.text:
        raise RecipeError(
            "init pretrain needs plain text beside the rows: .txt (a text a line) or .jsonl with the key `text`: "
            "tunesmith init pretrain text.txt chats.jsonl"
        )
    stages = {"pretrain": _pretrain, "eval": _eval}.get(order.kind, _tune)(order, found)
    text = "\n".join([*_head(order, found), "stages:", *_build(order, found), "", *stages]) + "\n"
    recipe = parse(text, f"{order.name}.yaml")  # a fault of this file, if it does not parse
    if order.kind in LR:
        try:
            told = line(recipe, f"{order.name}.yaml")
        except TunesmithError:
            told = f"# Memory, once the model is in a folder: tunesmith recipe memory {order.name}.yaml"
        text = text.replace("\nname: ", f"\n{told}\n\nname: ", 1)
    return text


def _head(order: Order, found: Survey) -> list[str]:
    what = KINDS[order.kind]
    lines = [f"# {what[:1].upper()}{what[1:]}. Written by tunesmith init.", "#"]
    lines += [f"#   tunesmith run {order.name}.yaml --check       check it, see what would run"]
    lines += [f"#   tunesmith run {order.name}.yaml               run it; a run that was stopped goes on"]
    lines += ["#   tunesmith help train.lr                 explains a setting", "#"]
    lines += [f"# {one}" for one in found.evidence]
    rows = f"{'more than ' if found.more else ''}{counted(found.rows, 'row')}"
    lines += [f"# {rows}, {found.mean:.0f} tokens each, the longest {found.longest:,} ({found.counted_with})"]
    return [*lines, "", f"name: {order.name}     # the output goes to runs/{order.name}", "seed: 1", ""]


def _build(order: Order, found: Survey) -> list[str]:
    lines = ["  # Rows become conversations. A tenth of them is held out before training, by id.", "  build:"]
    lines += ["    kind: build", f"    tasks: [{', '.join(map(yaml_text, found.tasks))}]"]
    if order.kind == "pretrain":
        lines += [f"    text: [{', '.join(map(yaml_text, found.text))}]"]
    asked = min(400, max(20, found.rows // 10))
    lines += [f"    per_level: {asked}        # held-out questions that are asked"]
    return lines


def _tune(order: Order, found: Survey) -> list[str]:
    length = row_length(found)
    batch = batch_tokens(found, length)
    lines = ["  tune:", "    kind: sft", f"    model: {yaml_text(order.model)}", "    data: build"]
    if found.templated is False:
        lines += ["    chat: chatml          # the model brings no chat format; its control tokens are added"]
    elif found.templated is None and order.model.startswith("hub:"):
        lines += ["    # chat: chatml        # for a base that brings no chat format"]
    lines += ["    train:", f"      epochs: {epochs(found)}           # how often each row is seen"]
    over = " (longer rows are left out, and counted)"
    lines += [f"      row_length: {length}    # tokens of the longest row{over if found.longest > length else ''}"]
    lines += [
        f"      batch_tokens: {batch}  # tokens of a batch, about {max(1, round(batch / (found.mean or 1)))} rows"
    ]
    lines += [f"      lr: {LR[order.kind]}"]
    if order.kind == "full":
        lines += ["      optimizer: adamw    # muon needs less memory; most bases were pretrained with adamw"]
    else:
        lines += ["      # The default targets are all linear layers; 16 is enough for thousands of rows."]
        lines += [f"      adapter: {{rank: 16{', bits: 4' if order.kind == 'qlora' else ''}}}"]
    return [*lines, "", *_judged("tune", order.model)]


def _judged(tuned: str, base: str) -> list[str]:
    """The evaluation and the report."""
    lines = ["  # The model before tuning and the tuned one answer what was held out.", "  eval:", "    kind: eval"]
    lines += ["    data: build", *([f"    base: {yaml_text(base)}"] if base else []), f"    tuned: {yaml_text(tuned)}"]
    return [*lines, "", "  report: {kind: report, data: build, scores: eval}"]


def _eval(order: Order, found: Survey) -> list[str]:
    return _judged(order.model, order.base)


def _pretrain(order: Order, found: Survey) -> list[str]:
    tokens = max(1, found.characters // BYTES_OF_TOKEN)
    hidden, layers = next((h, n) for most, h, n in SIZES if tokens <= most)
    vocab = 1 << min(15, max(10, (tokens // 200).bit_length()))
    length, batch = max(512, row_length(found)), 1 << (13 if tokens < 5_000_000 else 16)
    steps = max(LEAST_STEPS, min(100_000, round(4 * tokens / batch)))
    return [
        "  tokenizer:", "    kind: tokenizer", "    data: build",
        f"    vocab_size: {vocab}      # for about {tokens:,} tokens of text", "    chat: chatml", "",
        "  # A base learns the plain text. It has seen no instruction.", "  pretrain:", "    kind: pretrain",
        "    data: build", "    tokenizer: tokenizer",
        f"    model: {{model_type: llama, hidden_size: {hidden}, intermediate_size: {hidden * 3}, "
        f"num_hidden_layers: {layers},",
        f"            num_attention_heads: {hidden // 32}, num_key_value_heads: {hidden // 32}, "
        f"tie_word_embeddings: true, max_position_embeddings: {length}}}",
        f"    train: {{steps: {steps}, batch_tokens: {batch}, row_length: {length}, lr: 3e-3, weight_decay: 0.1}}", "",
        "  # It is tuned on instructions, with a share of its text again, so that knowledge is kept.", "  tune:",
        "    kind: sft", "    model: pretrain", "    data: build", "    rehearsal: 0.3",
        f"    train: {{epochs: {epochs(found)}, batch_tokens: {batch_tokens(found, length)}, row_length: {length}, "
        "lr: 1e-3}", "", *_judged("tune", "pretrain"),
    ]  # fmt: skip


BYTES_OF_TOKEN = 4
SIZES = ((5_000_000, 128, 4), (50_000_000, 256, 6), (1 << 62, 512, 8))
"""Tokens of text up to which a fresh model has this width and these layers."""


def epochs(found: Survey) -> int:
    """Few rows are seen more often."""
    return 3 if found.rows <= 10_000 and not found.more else 2 if found.rows <= 100_000 else 1


def row_length(found: Survey) -> int:
    """The first length that all rows fit into, and that the model can read."""
    fits = next((length for length in LENGTHS if length >= found.longest), LENGTHS[-1])
    return min(fits, found.most) if found.most else fits


def batch_tokens(found: Survey, length: int) -> int:
    """A power of two: about ``BATCH_ROWS`` rows, fewer where that leaves too few steps, and at least one row."""
    wanted = found.mean * min(BATCH_ROWS, max(1.0, found.rows * epochs(found) / LEAST_STEPS))
    return int(max(length, min(1 << 17, 1 << max(0, round(wanted)).bit_length())))


def yaml_text(value: str) -> str:
    """A text as YAML takes it inside of a list: bare where that is safe, else in quotes."""
    bare = re.fullmatch(r"[A-Za-z_./][\w./@-]*|hub:[\w./@-]+", value)
    if bare and Document.read(f"[{value}]", "").value == [value]:
        return value
    return json.dumps(value, ensure_ascii=False)
