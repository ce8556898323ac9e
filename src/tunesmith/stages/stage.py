"""What every stage of a recipe is: settings that check themselves, references to earlier stages, and ``run(job)``.

A new kind of stage is a new file beside this one:

    @KINDS.add("export")
    class Export(Stage):
        model: Annotated[str, From("model", folder=True)] = Field(description="The stage whose model is exported.")

        gives = ("folder",)  # what later stages may ask for
        rooms = ("models",)  # whose code its result depends on

        def run(self, job: Job) -> Mapping[str, Any]:
            folder = job.inputs[self.model]
            ...
            return {"tensors": 12}

The class is the schema of its settings, the place that reads them, and the work. What it writes goes under
``job.out`` and nowhere else; what it returns is kept in ``stage.json`` and shown in the report. Heavy imports stand
inside ``run``, so that checking a recipe takes no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from rich.console import Console

from tunesmith.core.document import Problem
from tunesmith.core.registry import Registry
from tunesmith.core.screen import Tell, progress
from tunesmith.core.settings import Settings
from tunesmith.stages.hub import place

if TYPE_CHECKING:
    from tunesmith.stages.ranks import Calls


@dataclass(frozen=True)
class From:
    """Marks a setting that names an earlier stage (or several), and what that stage must give."""

    what: str
    """One of the things that stages say they give: data, tokenizer, model, chat model, scores."""
    folder: bool = False
    """A folder that is not a stage will do as well: a model of Hugging Face, say."""


@dataclass(frozen=True)
class Job:
    """What a stage is given when it runs."""

    id: str
    out: Path
    seed: int
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """The folder of everything that the settings refer to, by the name that they use."""
    console: Console = field(default_factory=Console)
    stages: Mapping[str, Stage] = field(default_factory=dict)
    """The stages of the whole recipe, for one that works on another's settings."""
    history: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the earlier stages of this run took and returned: their ``stage.json``."""

    calls: Calls | None = None
    """How the other processes of the run are called to a training, where there are others."""

    def folder(self, name: str) -> Path:
        """Where a reference of any stage leads: another stage's folder, or one that is not a stage."""
        return self.out.parent / name if name in self.stages else place(name)

    def step(self, text: str) -> None:
        """One line on what is being done now."""
        self.console.print(f"      [dim]{text}[/]", highlight=False)

    def progress(self, text: str) -> AbstractContextManager[Tell]:
        """How far a piece of work is, for the person who watches."""
        return progress(text, self.console)


class Stage(Settings):
    """The settings that all stages share."""

    kind: str = Field(description="What the stage does.")

    rooms: ClassVar[tuple[str, ...]] = ()
    """Folders and files of the package whose code the result depends on; they are part of the stage's key."""
    unkeyed: ClassVar[tuple[str, ...]] = ()
    """Settings that do not change the result."""
    gives: ClassVar[tuple[str, ...]] = ()
    """What later stages may ask of this one: see ``From``. What gives a model has it in its output folder."""

    def files(self) -> list[Path]:
        """Files of the user that the result depends on; their digests are part of the stage's key."""
        return []

    def foresee(self, job: Job) -> Iterator[Problem | str]:
        """What can be said before anything runs, from the settings and from what earlier stages have written so far:
        notes, and what is sure to fail, with the place among these settings. It has to be quick."""
        return iter(())

    def run(self, job: Job) -> Mapping[str, Any]:
        """Do the work, writing below ``job.out``; what is returned is kept with the stage."""
        raise NotImplementedError


KINDS: Registry[type[Stage]] = Registry("Stage kind", room="stages")
