"""What a model answers to a few prompts while it is trained: a line on the screen and in ``samples.jsonl``.

{"step": 200, "prompt": "What is the capital of France?", "answer": "Paris"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.ask.safe import printable
from tunesmith.core.types import Message
from tunesmith.stages.rows import read_lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.chat import ChatFormat
    from tunesmith.train.trainer import OnSave

FILE = "samples.jsonl"
LONGEST = 64
"""Tokens of an answer."""
SHOWN = 100
"""Characters of it on the screen."""


def sampler(fmt: ChatFormat, prompts: Sequence[str], out: Path) -> OnSave | None:
    """What is called at each checkpoint; None where there is nothing to ask."""
    if not prompts:
        return None
    from tunesmith.models.generate import generate

    asked = [fmt.prompt([Message("user", prompt)]) for prompt in prompts]
    path = out / FILE
    # A run that goes on from a checkpoint may have been killed before or after its samples.
    there = {line["step"] for line in read_lines(path)} if path.exists() else set()

    def sample(step: int, model: PreTrainedModel, say: Callable[[str], None]) -> None:
        if step in there:
            return
        was_training = model.training
        answers = generate(model.train(False), asked, stop_ids=fmt.stop_ids, max_new_tokens=LONGEST)
        model.train(was_training)
        with path.open("a", encoding="utf-8") as file:
            for prompt, answer in zip(prompts, answers, strict=True):
                text = fmt.decode(answer.ids)
                file.write(json.dumps({"step": step, "prompt": prompt, "answer": text}, ensure_ascii=False) + "\n")
                say(f"step {step:,}: {_short(prompt)} -> {_short(text)}")

    return sample


def _short(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
