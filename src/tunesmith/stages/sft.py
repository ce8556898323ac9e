"""The ``sft`` stage: supervised tuning on conversations, with some of the pretraining text rehearsed.

In go a base model (a stage, or any Hugging Face folder) and a build; out comes a model that answers. How the tasks are
mixed is decided here, in rates that the report compares with what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.stages import rows, training
from tunesmith.stages.stage import KINDS, From, Job, Settings, Stage
from tunesmith.train.settings import TrainSettings
from tunesmith.types import Conversation

TEXT = "text"
"""The name of the rehearsed text among the sources."""


class Mixture(Settings):
    """How often each task is drawn."""

    rates: Literal["proportional", "temperature", "fixed"] = Field(
        default="proportional",
        description="proportional: by number of rows, none above `cap`. temperature: that, flattened. fixed: `shares`.",
    )
    cap: int | None = Field(default=None, ge=1, description="A task with more rows than this counts as this many.")
    temperature: float = Field(default=2.0, gt=0, description="1 is proportional; the higher, the more alike.")
    shares: dict[str, float] = Field(default_factory=dict, description="For fixed: the share of each task, by its id.")
    balance: bool = Field(default=False, description="Give every cluster the same share, whatever its number of tasks.")

    def of(self, counts: Mapping[str, int], clusters: Mapping[str, str]) -> dict[str, float]:
        """The share of each task."""
        from tunesmith.data.mixture import rates

        return rates(
            self.rates,
            counts,
            cap=self.cap,
            temperature=self.temperature,
            shares=self.shares,
            balance=clusters if self.balance else None,
        )


class TuneSettings(TrainSettings):
    """As for any training, at a gentler rate: what the base knows should stay."""

    lr: float = Field(default=3e-4, gt=0, description="Peak learning rate.")


@KINDS.add("sft")
class Sft(Stage):
    """Tune a model to follow instructions."""

    model: Annotated[str, From(("pretrain", "sft"), folder=True)] = Field(
        description="The model to start from: a training stage, or a Hugging Face folder."
    )
    data: Annotated[str, From(("build",))] = Field(description="The build stage whose conversations are learned.")
    format: Literal["instruction", "name", "none"] = Field(
        default="instruction",
        description="How tasks are put: as instructions, by the data set's name, or as bare input (the FLAN ablation).",
    )
    rehearsal: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the documents that is pretraining text, so that knowledge is kept. 0.3 is a good start.",
    )
    mixture: Mixture = Field(default_factory=Mixture)
    train: TuneSettings = TuneSettings.model_validate({})

    rooms: ClassVar[tuple[str, ...]] = (
        "stages/rows.py",
        "stages/training.py",
        "data/mixture.py",
        "chat",
        "plan",
        "models",
        "train",
    )
    gives_model: ClassVar[bool] = True

    def run(self, job: Job) -> Mapping[str, Any]:
        return tune(self, job, rows.train(job.inputs[self.data], self.format))


def tune(stage: Sft, job: Job, conversations: Sequence[Conversation]) -> dict[str, Any]:
    """The work of the stage, on conversations that are given; a curve gives it fewer."""
    base = training.model_folder(job.inputs[stage.model])
    fmt = training.open_format(base)
    stores, aside = training.conversation_stores(job, fmt, conversations, stage.train.row_length)
    counts = {task: len(store) for task, store in stores.items()}
    wanted = stage.mixture.of(counts, {c.task: c.cluster for c in conversations})
    shares = {task: (1 - stage.rehearsal) * share for task, share in wanted.items()}
    if stage.rehearsal:
        stores[TEXT] = training.text_store(job, fmt, rows.texts(job.inputs[stage.data]), stage.train.row_length)
        shares[TEXT] = stage.rehearsal
    info = training.fit(job, str(base), "sft", stores, shares, stage.train, base, fmt)
    return {
        **info,
        "asked": shares,
        "tasks": len(counts),
        "rows": sum(counts.values()),
        "rows_of": counts,
        "too_long": aside,
    }
