"""What is cleaned in a build, and how: every step in the order in which it is done, each on or off.

    clean:
      boilerplate: true
      length: {answer_most: 2000}
      near: {of: prompt, threshold: 0.85}
      unicode: false

The first steps look at one row at a time, in the workers, at training rows and questions alike. The last ones compare
rows, after the split; they take training rows away, never questions. Rows that are put into words by templates share
most of their words by design, and are told apart by their ids; so all but ``leaks`` leave them alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from time import perf_counter
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from tunesmith.core.errors import near
from tunesmith.core.settings import MOST_ROWS, Settings, check
from tunesmith.core.types import Comparison, Conversation
from tunesmith.data.clean.step import STEPS, Step, Switch
from tunesmith.data.clean.steps.boilerplate import Boilerplate
from tunesmith.data.clean.steps.echo import Echo
from tunesmith.data.clean.steps.empty import Empty
from tunesmith.data.clean.steps.language import Language
from tunesmith.data.clean.steps.length import Length
from tunesmith.data.clean.steps.private import Private
from tunesmith.data.clean.steps.quality import Quality
from tunesmith.data.clean.steps.repetition import Repetition
from tunesmith.data.clean.steps.safety import Safety
from tunesmith.data.clean.steps.self_instruct import SelfInstruct
from tunesmith.data.clean.steps.truncated import Truncated
from tunesmith.data.clean.steps.unicode import Unicode

Of = Literal["prompt", "answer", "both"]


class Repeated(Switch):
    """Keep the first of training rows with the same words."""

    on: bool = Field(default=True, description="Whether it is done.")
    of: Of = Field(default="both", description="What must be the same.")


class Near(Switch):
    """Keep the first of training rows with nearly the same words (MinHash, then the exact overlap of word 5-grams)."""

    of: Of = Field(default="both", description="What is compared.")
    threshold: float = Field(default=0.8, gt=0, le=1, description="The overlap (Jaccard) from which on rows are alike.")


class Novel(Switch):
    """Keep a training row if its question is unlike all kept before (ROUGE-L, as Self-Instruct)."""

    threshold: float = Field(default=0.7, gt=0, le=1, description="The ROUGE-L above which questions are alike.")
    letters: Literal["english", "all"] = Field(
        default="all", description="english: as rouge_score, a to z and digits only. all: of every script."
    )


class Diverse(Switch):
    """Keep so many training rows, as unlike each other as can be."""

    rows: int = Field(default=10_000, ge=1, le=MOST_ROWS, description="How many to keep.")
    by: Literal["k_center", "clusters"] = Field(
        default="k_center", description="k_center: always the row farthest from those taken. clusters: equally of each."
    )


class Leaks(Switch):
    """Take training rows away that give away items of evaluation sets; paraphrases and translations are not found."""

    sets: list[str] = Field(default_factory=list, description="Files or folders of evaluation sets, in any known form.")
    ngrams: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        default=[13], description="Words in a row that must not be the same; 8 takes many more."
    )
    near: float = Field(default=0.85, gt=0, le=1, description="The share of equal words that makes a question known.")


class Cleaning(Settings):
    """All steps of cleaning, in their order."""

    unicode: Unicode = Unicode()
    empty: Empty = Empty()
    truncated: Truncated = Truncated()
    echo: Echo = Echo()
    boilerplate: Boilerplate = Boilerplate()
    repetition: Repetition = Repetition()
    length: Length = Length()
    language: Language = Language()
    self_instruct: SelfInstruct = SelfInstruct()
    private: Private = Private()
    safety: Safety = Safety()
    quality: Quality = Quality()
    outside: dict[str, SerializeAsAny[Step]] = Field(
        default={}, description="Steps of plug-ins; they may also stand beside ours, by their names."
    )

    repeated: Repeated = Repeated()
    near: Near = Near()
    novelty: Novel = Novel()
    leaks: Leaks = Leaks()
    diverse: Diverse = Diverse()

    def steps(self) -> list[tuple[str, Step]]:
        """The steps that look at one row and are on, by name."""
        ours = [(name, getattr(self, name)) for name in type(self).model_fields]
        every = [*ours, *sorted(self.outside.items())]
        return [(name, step) for name, step in every if isinstance(step, Step) and step.on]

    @model_validator(mode="before")
    @classmethod
    def _steps_of_plugins(cls, value: Any) -> Any:
        """Steps that are not ours, checked by their own settings."""
        if not isinstance(value, dict):
            return value
        given = value.get("outside", {})
        steps = dict(given) if isinstance(given, dict) else {}
        steps |= {name: value[name] for name in value if name not in cls.model_fields and name in STEPS}
        if not steps:
            return value
        rest = {name: settings for name, settings in value.items() if name not in {*steps, "outside"}}
        return {**rest, "outside": {name: _step(name, settings) for name, settings in steps.items()}}


def _step(name: str, settings: Any) -> Step:
    if isinstance(settings, Step):
        return settings
    if name not in STEPS:
        raise ValueError(f"there is no step {name!r} of a plug-in{near(name, STEPS)}")
    found = check(STEPS[name], settings)
    if found.value is None:
        told = "; ".join(f"{'.'.join(map(str, (name, *problem.where)))}: {problem.what}" for problem in found.problems)
        raise ValueError(told)
    return found.value


class Cleaner:
    """Does the steps that look at one row, and keeps count."""

    def __init__(self, cleaning: Cleaning) -> None:
        self._steps = cleaning.steps()
        self.changed: Counter[str] = Counter()
        """Rows that each step has mended or tagged."""
        self.seconds: Counter[str] = Counter()

    def clean(self, row: Conversation) -> tuple[Conversation, str]:
        """The row after all steps, and nothing; or as it was when a step dropped it, and why."""
        began = perf_counter()
        for name, step in self._steps:
            found = step.clean(row)
            ended = perf_counter()
            self.seconds[name] += ended - began  # type: ignore[assignment]
            began = ended
            if isinstance(found, str):
                return row, f"{name}: {found}"
            if found is not row:
                self.changed[name] += 1
                row = found
        return row, ""

    def clean_comparison(self, row: Comparison) -> tuple[Comparison, str]:
        """The same for a comparison. It goes if its best answer would: a bad one may well be bad in these ways."""
        best = max(range(len(row.answers)), key=lambda i: row.scores[i])
        answers = list(row.answers)
        prompt, why = row.prompt, ""
        for i, said in enumerate(row.answers):
            asked = Conversation((*row.prompt, *said), row.id, row.task, row.cluster, language=row.language)
            clean, reason = self.clean(asked)
            answers[i] = clean.messages[len(row.prompt) :]
            if i == best:
                prompt, why = clean.messages[: len(row.prompt)], reason
        return replace(row, prompt=prompt, answers=tuple(answers)), why
