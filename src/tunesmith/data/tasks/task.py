"""A task: the source of its rows, the templates that render them, and the metric that scores answers.

Training and evaluation share it. ``data/load/tasks.py`` makes tasks from files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.core.errors import DataError, near
from tunesmith.core.types import NOWHERE, Source
from tunesmith.data.tasks.template import Template


@dataclass(frozen=True, slots=True)
class Task:
    """The one definition that training and evaluation share."""

    id: str
    """``<task>.<language>``."""
    cluster: str
    language: str
    name: str
    reader: str
    templates: tuple[Template, ...]
    input: tuple[str, ...] = ()
    answer: str = "answer"
    words: Mapping[str, str] = field(default_factory=dict)
    """What the answers of the data are called in the templates; empty: what they are."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Rows are taken whose fields have these values."""
    options: int | tuple[str, ...] | str = 0
    """How many to draw from the task's other answers; or the answers themselves; or the field that holds them."""
    metric: str = "exact_match"
    limit: int = 0
    """At most so many examples, chosen by a hash of their ids; 0 takes all."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the file that are the reader's."""
    source: Source = NOWHERE

    @property
    def stem(self) -> str:
        """The id without the language: tasks with the same stem ask the same in other languages."""
        return self.id.removesuffix(f".{self.language}")

    @property
    def borrows(self) -> bool:
        """Whether its templates are promptsource's, which see the row as the file holds it."""
        return any(template.whole_row for template in self.templates)

    def template(self, name: str) -> Template:
        """The template of a name or full id."""
        for template in self.templates:
            if name in (template.id, template.name):
                return template
        raise DataError(f"Task {self.id!r} has no template {name!r}{near(name, [t.name for t in self.templates])}")
