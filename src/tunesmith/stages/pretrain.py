"""The ``pretrain`` stage: a fresh model learns to read from plain text.

In go a build's text, a tokenizer and a configuration; out comes a base model that knows what the text says, and has
never seen an instruction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from tunesmith.core.document import Problem
from tunesmith.core.errors import TunesmithError
from tunesmith.core.settings import shown
from tunesmith.stages import rows, training
from tunesmith.stages.stage import KINDS, From, Job, Stage
from tunesmith.stages.tokenizer import TokenizerStage
from tunesmith.train.settings import TrainSettings

MOST = 1_000_000_000
"""The largest number in a configuration."""
MOST_LAYERS = 2000
_COUNT = re.compile(r"size|layers?\b|heads?\b|^num_|^n_|^d_|dim\b|embd|hidden")
_SHAPE = re.compile(
    r"hidden_size|num_hidden_layers|num_attention_heads|vocab_size|n_(embd|layer|head)|d_model|num_layers"
)
CONTROLS = 8
"""About so many control tokens stand in a vocabulary besides."""


@KINDS.add("pretrain")
class Pretrain(Stage):
    """Train a base model."""

    data: Annotated[str, From("data")] = Field(description="The build stage whose text is learned.")
    tokenizer: Annotated[str, From("tokenizer", folder=True)] = Field(
        description="A tokenizer stage, or a folder with a tokenizer."
    )
    model: dict[str, Any] = Field(
        description="A Hugging Face configuration: model_type and its settings. The vocabulary is the tokenizer's."
    )
    train: TrainSettings = TrainSettings.model_validate({})

    @field_validator("model")
    @classmethod
    def _sensible(cls, model: dict[str, Any]) -> dict[str, Any]:
        """What no model can have, found without making one."""
        if wrong := list(_slips(model)):
            raise ValueError("; ".join(wrong))
        return model

    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "stages/training.py", "chat", "plan", "models", "train")
    gives: ClassVar[tuple[str, ...]] = ("model",)

    def foresee(self, job: Job) -> Iterator[Problem | str]:
        from tunesmith.models.fresh import size_of

        folder = job.inputs.get(self.tokenizer)
        tokenizer = job.stages.get(self.tokenizer)
        if isinstance(tokenizer, TokenizerStage):
            vocabulary = tokenizer.vocab_size + CONTROLS
        elif folder is not None:
            vocabulary = len(training.open_format(folder).tok)
        else:
            return
        try:
            yield str(size_of({"vocab_size": vocabulary, **self.model}))
        except TunesmithError as error:
            yield Problem(("model",), str(error))

    def run(self, job: Job) -> Mapping[str, Any]:
        folder = job.inputs[self.tokenizer]
        fmt = training.open_format(folder)
        store = training.text_store(job, fmt, rows.texts(job.inputs[self.data]), self.train.row_length)
        config = {
            "vocab_size": len(fmt.tok),
            "bos_token_id": fmt.tok.bos_token_id,
            "eos_token_id": fmt.tok.eos_token_id,
            "pad_token_id": fmt.tok.pad_token_id,
            **self.model,
        }
        settings = training.in_steps(job, self.train, "pretrain", {"text": store}, {"text": 1.0})
        return training.fit(job, config, "pretrain", {"text": store}, {"text": 1.0}, settings, folder, fmt)


def _slips(model: Mapping[str, Any]) -> Iterator[str]:
    kind = model.get("model_type")
    if not isinstance(kind, str) or not kind:
        yield f"'model_type' is {shown(kind)}, wanted the name of an architecture, as in model_type: llama"
    for key, value in model.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if not math.isfinite(value):
            yield f"{key!r} is {shown(value)}, wanted a finite number"
        elif abs(value) > MOST:
            yield f"{key!r} is {shown(value)}, wanted at most {MOST:,}"
        elif _COUNT.search(key) and value < 0:
            yield f"{key!r} is {shown(value)}, wanted a number above 0"
        elif _SHAPE.fullmatch(key) and value < 1:
            yield f"{key!r} is {shown(value)}, wanted 1 or more"
        elif "layer" in key and value > MOST_LAYERS:
            yield f"{key!r} is {shown(value)}, wanted at most {MOST_LAYERS:,}"
