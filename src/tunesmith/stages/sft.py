"""The ``sft`` stage: supervised tuning on conversations, with some of the pretraining text rehearsed.

In go a base model (a stage, or any Hugging Face folder) and a build; out comes a model that answers. How the tasks are
mixed is decided here, in rates that the report compares with what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from rich.markup import escape

from tunesmith.core.document import Problem
from tunesmith.core.errors import TemplateRefused, TrainError, counted, near
from tunesmith.core.settings import MOST_ROWS, Settings
from tunesmith.core.types import Conversation
from tunesmith.stages import rows, training
from tunesmith.stages.stage import KINDS, From, Job, Stage
from tunesmith.train.settings import TrainSettings

TEXT = "text"
"""The name of the rehearsed text among the sources."""


class Mixture(Settings):
    """How often each task is drawn."""

    rates: Literal["proportional", "temperature", "fixed"] = Field(
        default="proportional",
        description="proportional: by number of rows, none above `cap`. temperature: that, flattened. fixed: `shares`.",
    )
    cap: int | None = Field(
        default=None, ge=1, le=MOST_ROWS, description="A task with more rows than this counts as this many."
    )
    temperature: float = Field(
        default=2.0, ge=0.01, le=1000, description="1 is proportional; the higher, the more alike."
    )
    shares: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default_factory=dict, description="For fixed: the share of each task, by its id."
    )
    balance: bool = Field(default=False, description="Give every cluster the same share, whatever its number of tasks.")
    parts: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="The share of whole clusters, as in {reasoning: 0.3}; the others divide the rest.",
    )
    unit: Literal["documents", "tokens"] = Field(
        default="documents", description="Whether shares are of the rows that are drawn, or of their tokens."
    )
    most: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROWS,
        description="Rows of a task that are used at all, chosen by their ids; FLAN: 30000.",
    )

    def used(self, rows: Sequence[Conversation]) -> Sequence[Conversation]:
        """The rows that are used: of each task at most ``most``, the same whatever else there is."""
        if self.most is None:
            return rows
        from tunesmith.data.text.hashing import hash64

        by_task: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            by_task.setdefault(row.task, []).append(i)
        kept = {i for many in by_task.values() for i in sorted(many, key=lambda i: hash64(rows[i].id))[: self.most]}
        return [row for i, row in enumerate(rows) if i in kept]

    def documents(self, shares: Mapping[str, float], means: Mapping[str, float]) -> dict[str, float]:
        """Shares in the mixture's unit as shares of documents, given how long a document is on average."""
        if self.unit == "documents":
            return dict(shares)
        counts = {name: share / means[name] for name, share in shares.items()}
        return {name: count / sum(counts.values()) for name, count in counts.items()}

    def of(self, counts: Mapping[str, int], clusters: Mapping[str, str]) -> dict[str, float]:
        """The share of each task."""
        from tunesmith.plan.mixture import rates, with_parts

        found = rates(
            self.rates,
            counts,
            cap=self.cap,
            temperature=self.temperature,
            shares=self.shares,
            balance=clusters if self.balance else None,
        )
        return with_parts(found, clusters, self.parts) if self.parts else found


class TuneSettings(TrainSettings):
    """As for any training, at a gentler rate: what the base knows should stay."""

    lr: float = Field(default=3e-4, gt=0, le=1, description="Peak learning rate.")


@KINDS.add("sft")
class Sft(Stage):
    """Tune a model to follow instructions."""

    model: Annotated[str, From("model", folder=True)] = Field(
        description="The model to start from: a training stage, a Hugging Face folder, or hub:owner/model."
    )
    data: Annotated[str, From("data")] = Field(description="The build stage whose conversations are learned.")
    format: Literal["instruction", "name", "none"] = Field(
        default="instruction",
        description="How tasks are put: as instructions, by the data set's name, or as bare input (the FLAN ablation).",
    )
    chat: Literal["chatml", "zephyr", "tulu", "pair"] | None = Field(
        default=None,
        description="The chat format to give a base that has none; its control tokens are added. Default: its own.",
    )
    objective: str = Field(
        default="sft", description="What is learned from the tokens: sft, or an objective of a plug-in by its name."
    )
    rehearsal: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the documents that is pretraining text, so that knowledge is kept. 0.3 is a good start.",
    )
    mixture: Mixture = Field(default_factory=Mixture)
    samples: list[str] = Field(
        default=[],
        max_length=50,
        description="Prompts that the model answers at each checkpoint, so that you see it learn: on the screen and in "
        "samples.jsonl.",
    )
    train: TuneSettings = TuneSettings.model_validate({})

    rooms: ClassVar[tuple[str, ...]] = (
        "stages/rows.py",
        "stages/training.py",
        "plan/mixture.py",
        "chat",
        "plan",
        "models",
        "train",
    )
    gives: ClassVar[tuple[str, ...]] = ("model", "chat model")
    unkeyed: ClassVar[tuple[str, ...]] = ("samples",)

    def foresee(self, job: Job) -> Iterator[Problem | str]:
        if self.objective != type(self).model_fields["objective"].default:  # which is known without loading torch
            from tunesmith.train.objectives import OBJECTIVES

            if self.objective not in OBJECTIVES:
                yield Problem(
                    ("objective",), f"objective {self.objective!r} is not known{near(self.objective, OBJECTIVES)}"
                )
        folder = job.inputs.get(self.model)
        if folder is None or self.chat is not None:
            return
        base = training.model_folder(folder)
        try:
            if not training.is_pair(base):
                training.open_format(base)
        except TemplateRefused as error:
            yield Problem(("chat",), str(error))

    def run(self, job: Job) -> Mapping[str, Any]:
        return tune(self, job, rows.train(job.inputs[self.data], self.format))


def tune(stage: Sft, job: Job, conversations: Sequence[Conversation]) -> dict[str, Any]:
    """The work of the stage, on conversations that are given."""
    base = training.model_folder(job.inputs[stage.model])
    if stage.rehearsal and training.is_pair(base):
        raise TrainError("rehearsal: an encoder-decoder learns from pairs; plain text has no question. Set it to 0.")
    fmt, tokenizer, new_ids = training.chat_format(job, base, stage.chat)
    clusters = {c.task: c.cluster for c in conversations}
    used = stage.mixture.used(conversations)
    if len(used) < len(conversations):
        left = counted(len(conversations) - len(used), "row")
        job.step(f"[yellow]{left} left out: more than mixture.most = {stage.mixture.most} of their task[/]")
    stores, aside = training.conversation_stores(job, fmt, used, stage.train.row_length)
    counts = {task: len(store) for task, store in stores.items()}
    wanted = stage.mixture.of(counts, clusters)
    if stage.rehearsal:
        stores[TEXT] = training.text_store(job, fmt, rows.texts(job.inputs[stage.data]), stage.train.row_length)
    means = {name: store.tokens / len(store) for name, store in stores.items()}
    shares = stage.mixture.documents(wanted, means)
    if stage.rehearsal:
        shares = {**{task: (1 - stage.rehearsal) * share for task, share in shares.items()}, TEXT: stage.rehearsal}
    settings = training.in_steps(job, stage.train, stage.objective, stores, shares, [TEXT] if stage.rehearsal else [])
    _say(job, settings, shares, means, {name: len(store) for name, store in stores.items()})
    info = training.fit(
        job,
        str(base),
        stage.objective,
        stores,
        shares,
        settings,
        tokenizer,
        fmt,
        new_ids,
        clusters,
        stage.samples,
    )
    return {
        **info,
        "asked": shares,
        "tasks": len(counts),
        "rows": sum(counts.values()),
        "rows_of": counts,
        "too_long": aside,
    }


def _say(
    job: Job,
    settings: TrainSettings,
    shares: Mapping[str, float],
    means: Mapping[str, float],
    counts: Mapping[str, int],
) -> None:
    """How often each row of each source will be seen: some lines now, and the whole table in ``mixture.txt``."""
    from tunesmith.plan.mixture import epochs, table

    in_document = sum(share * means[name] for name, share in shares.items())
    draws = round(settings.steps * settings.batch_tokens / in_document)
    lines = epochs(counts, shares, draws)
    (job.out / "mixture.txt").write_text(table(lines) + "\n", encoding="utf-8")
    shown = lines if len(lines) <= 6 else [*lines[:3], *lines[-3:]]
    for line in shown:
        job.step(escape(str(line)))
    if len(shown) < len(lines):
        job.step(f"... {len(lines)} sources in all, from the most to the least repeated, in {job.out / 'mixture.txt'}")
