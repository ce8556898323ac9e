"""The ``pretrain`` stage: a fresh model learns to read from plain text.

In go a build's text, a tokenizer and a configuration; out comes a base model that knows what the text says, and has
never seen an instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from tunesmith.stages import rows, training
from tunesmith.stages.stage import KINDS, From, Job, Stage
from tunesmith.train.settings import TrainSettings


@KINDS.add("pretrain")
class Pretrain(Stage):
    """Train a base model."""

    data: Annotated[str, From(("build",))] = Field(description="The build stage whose text is learned.")
    tokenizer: Annotated[str, From(("tokenizer",), folder=True)] = Field(
        description="A tokenizer stage, or a folder with a tokenizer."
    )
    model: dict[str, Any] = Field(
        description="A Hugging Face configuration: model_type and its settings. The vocabulary is the tokenizer's."
    )
    train: TrainSettings = TrainSettings.model_validate({})

    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "stages/training.py", "chat", "plan", "models", "train")
    gives_model: ClassVar[bool] = True

    def run(self, job: Job) -> Mapping[str, Any]:
        folder = job.inputs[self.tokenizer]
        fmt = training.open_format(folder)
        store = training.text_store(job, fmt, rows.texts(job.inputs[self.data]), self.train.row_length)
        config = {
            "vocab_size": len(fmt.tok),
            "bos_token_id": fmt.tok.bos_token_id,
            "eos_token_id": fmt.tok.eos_token_id,
            "pad_token_id": None,
            **self.model,
        }
        return training.fit(job, config, "pretrain", {"text": store}, {"text": 1.0}, self.train, folder, fmt)
