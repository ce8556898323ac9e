"""What a person may choose about a training run. Everything has a default that works."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tunesmith.core.settings import MOST_ROWS, MOST_SEED, MOST_STEPS, MOST_TOKENS, Settings
from tunesmith.models.adapter import Adapter


class TrainSettings(Settings):
    """Settings of ``train``. A key that is not here is an error."""

    steps: int = Field(1000, ge=1, le=MOST_STEPS, description="Optimizer steps of the whole run.")
    epochs: float | None = Field(
        None, gt=0, le=10_000, description="How often each row is seen; the steps follow from it. Give this or `steps`."
    )
    batch_tokens: int = Field(
        4096,
        ge=1,
        le=MOST_TOKENS,
        description="Tokens in a global batch, met up to one document. More is steadier and slower.",
    )
    row_length: int = Field(
        1024,
        ge=2,
        le=MOST_TOKENS,
        description="Longest document, and tokens in a row. Raise it when documents are longer.",
    )
    tokens_at_once: int | None = Field(
        None,
        ge=1,
        le=MOST_TOKENS,
        description="About how many tokens go through the model at once. Lower it to save memory.",
    )
    lr: float = Field(1e-3, gt=0, le=1, description="Peak learning rate; 3e-4 is a good start for tuning.")
    warmup: float = Field(0.02, ge=0, le=1, description="Share of the steps in which the rate rises.")
    schedule: Literal["wsd", "linear", "cosine"] = Field(
        "wsd", description="After the warm-up the rate stays and then falls (wsd), or falls from there on."
    )
    decay: float = Field(0.4, ge=0, le=1, description="For wsd: share of the steps, at the end, in which it falls.")
    optimizer: Literal["auto", "muon", "adamw", "adamw8"] = Field(
        "auto",
        description="muon: matrices by Muon, the rest by AdamW. adamw: all by it; adamw8: with moments of matrices in "
        "eight bits. auto: muon; adamw with an adapter.",
    )
    weight_decay: float = Field(0.0, ge=0, le=10, description="Decoupled decay of matrices; others are not decayed.")
    clip: float = Field(1.0, ge=0, le=1e6, description="Largest norm of the gradient; 0 switches clipping off.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="bf16 computes in bfloat16 and keeps float32 weights; auto: where that is fast.",
    )
    adapter: Adapter | None = Field(
        None, description="Train small matrices beside the frozen weights (LoRA); without, all weights are trained."
    )
    freeze: list[str] = Field(
        default=[], description="Parameters that stay as they are, by name: model.embed_tokens, model.layers.[0-3].*"
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Noise on the embeddings while training (NEFTune's alpha); 5 is usual for few rows.",
    )
    recompute: Literal["auto", "nothing", "cheap", "layers"] = Field(
        "auto",
        description="What the backward pass computes again instead of keeping it. layers: all of each layer, a third "
        "more time; cheap: all but matrix products; auto: what the free memory asks for.",
    )
    skip_spikes: bool = Field(
        False, description="Take no step where the loss is twice what it lately was. Always logged."
    )
    validation: int = Field(
        0,
        ge=0,
        le=MOST_ROWS,
        description="Rows kept from training, about so many; their loss is measured at each checkpoint.",
    )
    keep: Literal["last", "best"] = Field(
        "last", description="Whether the result is the last model, or the one with the lowest loss on those rows."
    )
    patience: int = Field(
        0,
        ge=0,
        le=MOST_STEPS,
        description="Stop after so many checkpoints without a lower loss on those rows; 0 never stops early.",
    )
    shard: bool = Field(
        False, description="Divide the model among the processes (FSDP2); without, each of them holds all of it."
    )
    offload: bool = Field(False, description="With shard: keep weights and optimizer in the memory of the CPU.")
    track: list[Literal["tensorboard", "wandb", "trackio", "mlflow"]] = Field(
        default=["tensorboard"], description="Where figures go besides metrics.jsonl."
    )
    save_every: int = Field(
        200, ge=1, le=MOST_STEPS, description="Save a checkpoint every N steps. After a crash at most N steps are lost."
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Order of the data, fresh weights and dropout follow from it.")

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if self.epochs is not None and "steps" in self.model_fields_set:
            raise ValueError("steps and epochs both say how long; take one of them away")
        return self

    @field_validator("recompute", mode="before")
    @classmethod
    def _yes_or_no(cls, value: object) -> object:
        return {True: "layers", False: "nothing"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _best_of_something(self) -> TrainSettings:
        if self.keep == "best" and not self.validation:
            raise ValueError("keep: best needs rows to tell which is best; set validation to some hundred of them")
        if self.patience and not self.validation:
            raise ValueError("patience needs rows to measure the loss on; set validation to some hundred of them")
        return self
