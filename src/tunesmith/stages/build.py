"""The ``build`` stage: labelled tasks to conversations, with what is held out taken away first.

In go task files (the little world's, or your own); out come, as JSON lines, the text to pretrain on (and sentences of
it without their end), the training conversations in each format, the held-out ones by level, the ledger of rows, and
the proof of the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from rich.markup import escape

from tunesmith.core.document import path_of
from tunesmith.core.errors import DataError, counted
from tunesmith.core.settings import MOST_ROWS, MOST_SHOTS, MOST_WORKERS, Settings, Shots
from tunesmith.core.whole import write_json
from tunesmith.data.clean.cleaning import Cleaning
from tunesmith.stages import rows
from tunesmith.stages.stage import KINDS, Job, Stage

if TYPE_CHECKING:
    from tunesmith.data.builds.build import Summary
    from tunesmith.data.builds.few_shot import FewShot
    from tunesmith.data.builds.held_out import HeldOut
    from tunesmith.data.tasks.task import Task

LITTLE_WORLD = "littleworld"
"""The name of the tasks and texts that the package carries; ``littleworld/thoughts`` are other tasks of it."""


class FewShotRows(Settings):
    """Training rows that show answered examples before their question."""

    share: float = Field(gt=0, le=1, description="Of the rows that templates put into words.")
    shots: int = Field(default=2, ge=1, le=MOST_SHOTS, description="How many examples.")

    def wish(self) -> FewShot:
        """The same for the build."""
        from tunesmith.data.builds.few_shot import FewShot

        return FewShot(self.share, self.shots)


@KINDS.add("build")
class Build(Stage):
    """Make training and held-out conversations."""

    tasks: list[str] = Field(
        default=[LITTLE_WORLD],
        min_length=1,
        description="Task files, data files, or folders of them; littleworld, littleworld/thoughts: the package's.",
    )
    text: list[str] | None = Field(
        default=None,
        description="What is pretrained on: littleworld, .txt files (a text a line), .jsonl files (the key `text`). "
        "Default: littleworld where its tasks are, else nothing.",
    )
    held_out: str | None = Field(
        default=None,
        description="A YAML file that says what is held out; littleworld: the package's. "
        "Default: the package's where its tasks are, else a tenth of the instances.",
    )
    formats: list[Literal["instruction", "name", "none"]] = Field(
        default=["instruction"], min_length=1, description="The formats to write; the last two are for the ablation."
    )
    shots: list[Shots] = Field(
        default=[0], description="Ask what is held out with so many answered examples before the question."
    )
    per_level: int = Field(
        default=400,
        ge=1,
        le=MOST_ROWS,
        description="Questions of each level, drawn by the seed, and for each metric at least a sixth of that.",
    )

    wordings: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROWS,
        description="Templates that each example is trained in, drawn by the seed; all, if not given.",
    )
    clusters: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROWS,
        description="Train on so many clusters, drawn by the seed; a smaller draw is part of a larger.",
    )
    templates: Annotated[int, Field(ge=1, le=MOST_ROWS)] | list[str] | None = Field(
        default=None, description="Train on so many templates of each task, likewise, or on those of these names."
    )
    asked: list[str] | None = Field(
        default=None, description="Ask what is held out in the templates of these names alone; all, if not given."
    )
    few_shot: FewShotRows | None = Field(
        default=None,
        description="Show answered examples in a share of the training rows, as in {share: 0.2, shots: 2}.",
    )
    fill: dict[str, str] = Field(
        default={}, description="What stands in placeholders of rows in words, as in {name: Ada} for {{name}}."
    )
    clean: Cleaning = Field(default=Cleaning(), description="What is cleaned; each step is true, false or settings.")
    engine: Literal["local", "ray"] = Field(default="local", description="Who does the work; the result is the same.")
    workers: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="How many processes share the work; the result is the same."
    )

    gives: ClassVar[tuple[str, ...]] = ("data",)
    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "data", "littleworld", "core/document.py")
    unkeyed: ClassVar[tuple[str, ...]] = ("engine", "workers")

    @property
    def texts(self) -> list[str]:
        """Where the text to pretrain on is."""
        own = [LITTLE_WORLD] if LITTLE_WORLD in self.tasks else []
        return own if self.text is None else self.text

    def wish(self) -> HeldOut:
        """What is held out."""
        from tunesmith.data.builds.held_out import HeldOut
        from tunesmith.littleworld.world import HERE

        if self.held_out is None and LITTLE_WORLD not in self.tasks:
            return HeldOut(instance_fraction=0.1)
        named = self.held_out or LITTLE_WORLD
        return HeldOut.load(HERE / "held_out.yaml" if named == LITTLE_WORLD else path_of(named))

    def files(self) -> list[Path]:
        from tunesmith.data.builds.manifest import files_of
        from tunesmith.data.files import files_in

        places = [
            path_of(place)
            for place in (*self.tasks, *self.texts, self.held_out or LITTLE_WORLD, *self.clean.leaks.sets)
            if not _carried(place)
        ]
        own = [place for place in self.tasks if not _carried(place)]
        tasks = load_tasks_of(own) if own else []
        named = [file for place in places for file in (files_in(place) or [place])]
        return list(dict.fromkeys([*named, *(file for task in tasks for file in files_of(task))]))

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.data.builds import datacard
        from tunesmith.data.load.tasks import with_fill

        tasks = with_fill(load_tasks_of(self.tasks), self.fill)
        held_out = self.wish()
        texts = rows.write_lines(job.out / "text.jsonl", ({"text": text} for text in self._texts(job.seed)))
        if LITTLE_WORLD in self.texts:
            from tunesmith.littleworld import clozes

            rows.write_lines(job.out / "cloze.jsonl", map(asdict, clozes()))
        job.step(f"{counted(len(tasks), 'task')}, {counted(texts, 'text')}")
        ledgers: dict[str, Any] = {}
        said: set[str] = set()
        for format in self.formats:
            summary = self.build(job, tasks, held_out, format)
            ledgers[format] = summary.ledger.to_json()
            lines = [f"{counted(n, 'row')} set aside: {reason}" for reason, n in summary.ledger.unused().items()]
            lines += [f"{counted(n, 'row')} changed: {what}" for what, n in summary.changed.items()]
            lines += [f"note: {note}" for note in summary.notes]
            for line in lines:
                if line not in said:  # by another format
                    job.step(f"[yellow]{escape(line)}[/]")
            said.update(lines)
            held = ", ".join(f"{level} {n:,}" for level, n in summary.counts.items() if level not in ("train", "seen"))
            datacard.write(job.out, format)
            job.step(f"{format}: {summary.counts['train']:,} rows to train on; held out: {held}")
        write_json(job.out / "ledger.json", ledgers)
        return {"tasks": len(tasks), "texts": texts, "held_out": held_out.to_json()}

    def build(self, job: Job, tasks: Sequence[Task], held_out: HeldOut, format: str) -> Summary:
        """Build one format with these settings."""
        from tunesmith.data.builds.build import build_to

        with job.progress(format) as tell:
            return build_to(
                job.out,
                tasks,
                held_out,
                seed=job.seed,
                format=format,
                per_level=self.per_level,
                clusters=self.clusters,
                templates_per_task=self.templates if isinstance(self.templates, int) else None,
                templates_named=self.templates if isinstance(self.templates, list) else None,
                templates_asked=self.asked,
                shots=self.shots if format == "instruction" else [0],
                wordings=self.wordings,
                few_shot=self.few_shot.wish() if self.few_shot else None,
                cleaning=self.clean,
                engine=self.engine,
                workers=self.workers,
                progress=lambda what, done, total: tell(done, total, what),
            )

    def _texts(self, seed: int) -> Iterator[str]:
        for place in self.texts:
            if place == LITTLE_WORLD:
                from tunesmith.littleworld import passages

                yield from passages(seed)
            else:
                yield from _texts_of(path_of(place))


def load_tasks_of(places: Sequence[str]) -> list[Task]:
    """The tasks of files, folders, and the little world."""
    from tunesmith import littleworld
    from tunesmith.data.load.tasks import load_tasks
    from tunesmith.evals.metrics import METRICS

    files: list[Path | str] = []
    for place in places:
        files += littleworld.task_files(place.partition("/")[2] or "tasks") if _carried(place) else [place]
    return load_tasks(files, metrics=list(METRICS))


def _carried(place: str) -> bool:
    """Whether it is the package's own, not a file of the user's."""
    return place == LITTLE_WORLD or (place.startswith(f"{LITTLE_WORLD}/") and not Path(place).exists())


def _texts_of(file: Path) -> Iterator[str]:
    from tunesmith.data.files import Row, kind_of
    from tunesmith.data.files import rows as rows_of

    if kind_of(file) not in ("text", "jsonl", "json"):
        raise DataError(f"{file} is neither .txt nor .jsonl; the build's `text` takes these two.")
    for row in rows_of(file):
        if not isinstance(row, Row):
            raise DataError(f"{row.source}: {row.reason}. The build's `text` takes whole files alone; mend this row.")
        text = row.value.get("text") if isinstance(row.value, dict) else row.value
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{row.source}: the row has no `text`.")
        yield text.strip() if isinstance(row.value, str) else text
