"""How new a question is to a model, given the rows that it was trained on.

    trained = Trained.of(training_rows)
    trained.level(question)            "cluster": nothing of its cluster was trained on; "task"; "instance"; "wording";
                                       "seen": this question was trained on

The split of a build gives its held-out questions their level. This file is for other questions, those of a suite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tunesmith.core.types import Conversation, Level


@dataclass(frozen=True, slots=True)
class Trained:
    """What training rows were about."""

    clusters: frozenset[str]
    tasks: frozenset[str]
    templates: frozenset[str]
    groups: frozenset[str]
    ids: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[Conversation]) -> Trained:
        """Of all rows of a training."""
        sets: tuple[set[str], ...] = (set(), set(), set(), set(), set())
        for row in rows:
            for names, name in zip(sets, (row.cluster, row.task, row.template, row.group, row.id), strict=True):
                names.add(name)
        return cls(*map(frozenset, sets))

    def level(self, question: Conversation) -> Level:
        """The level of a question: the newest thing about it."""
        if question.cluster not in self.clusters:
            return "cluster"
        if question.task not in self.tasks:
            return "task"
        if question.id in self.ids:
            return "seen"
        if not question.group or question.group not in self.groups:
            return "instance"
        return "wording"
