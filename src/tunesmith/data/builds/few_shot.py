"""Answered examples of the same task before a question."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.core.types import Conversation, Example, SetAside
from tunesmith.data import store
from tunesmith.data.builds.assign import Fates
from tunesmith.data.builds.worker import Orders
from tunesmith.data.load.examples import read
from tunesmith.data.tasks.render import render, wordings
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Unrenderable
from tunesmith.data.text.hashing import hash64, order

TOO_FEW = "the task has too few other examples to show"
TRIED = 32
"""Examples that are tried for a training row, to find those that may be shown."""


@dataclass(frozen=True, slots=True)
class FewShot:
    """Which training rows show answered examples before their question."""

    share: float
    """Of the rows that templates have put into words, chosen by their ids."""
    shots: int = 2


class Shots:
    """Puts answered examples of the task before a question."""

    def __init__(self, tasks: Sequence[Task], orders: Orders, fates: Fates, count: int, aside: list[SetAside]) -> None:
        self.tasks = {task.id: task for task in tasks if task.templates}
        self.orders = orders
        self.fates = fates
        self.count = count
        self.aside = aside
        self.held = set(fates.split.groups.tolist())
        self.pools: dict[str, tuple[list[Example], dict[str, Example]]] = {}
        self.done = 0
        """Training rows that were given examples."""

    def of(self, rows: Iterable[Conversation]) -> Iterator[Conversation]:
        """The rows as they are asked: with other examples before them, never of the same group or question."""
        for row in rows:
            if not self.count:
                yield row
                continue
            task = self.tasks.get(row.task)
            pool, every = self._pool(task) if task else ([], {})
            asked = every.get(row.id.rpartition("@")[0])
            shown = self._shown(row, asked, task, pool) if asked and task else []
            if len(shown) < self.count or not asked or not task:
                self.aside.append(SetAside(row.id, TOO_FEW, row.source))
            else:
                yield render(asked, self._template(task, row), task, shown)

    def among(self, table: Any, share: float) -> Any:
        """A table of training rows, of which this share is given examples, where the task has enough of them."""
        import pyarrow as pa

        begin = f"{self.orders.seed}|few|"
        ids = zip(table["id"].to_pylist(), table["task"].to_pylist(), strict=True)
        chosen = [i for i, (id, task) in enumerate(ids) if task in self.tasks and hash64(begin + id) < share * 2**64]
        if not chosen:
            return table
        rows: list[Conversation] = []
        places = list(range(table.num_rows))
        for i, row in zip(chosen, store.of_table(table.take(chosen)), strict=True):
            task = self.tasks[row.task]
            pool, every = self._pool(task)
            asked = every.get(row.id.rpartition("@")[0])
            draw = random.Random(begin + row.id)
            shown = self._fitting(row, asked, task, draw.sample(pool, min(len(pool), TRIED))) if asked else []
            if asked and len(shown) == self.count:
                said = render(asked, self._template(task, row), task, shown)
                places[i] = table.num_rows + len(rows)
                rows.append(replace(row, messages=said.messages, tags=(*row.tags, f"shots:{self.count}")))
        self.done += len(rows)
        return pa.concat_tables([table, store.to_table(rows).cast(table.schema)]).take(places)

    def _shown(self, row: Conversation, asked: Example, task: Task, pool: list[Example]) -> list[Example]:
        by_order = sorted(pool, key=lambda e: order(self.orders.seed, f"{row.id}<{e.id}"))
        return self._fitting(row, asked, task, by_order)

    def _fitting(self, row: Conversation, asked: Example, task: Task, pool: Iterable[Example]) -> list[Example]:
        """The first of these that can be shown before the question."""
        shown: list[Example] = []
        for example in pool:
            if len(shown) == self.count:
                break
            if example.group == asked.group:
                continue
            try:
                other = render(example, self._template(task, row), task)
            except Unrenderable:
                continue
            if other.prompt != row.prompt:
                shown.append(example)
        return shown

    def _template(self, task: Task, row: Conversation) -> Any:
        return next(t for t in wordings(task, self.orders.format) if t.id == row.template)

    def _pool(self, task: Task) -> tuple[list[Example], dict[str, Example]]:
        """The examples of a task that may be shown with their answers: those that are trained on. A held-out task
        has none, and shows the rows that would be trained on if it were not held out."""
        if task.id not in self.pools:
            split = self.fates.split
            out = task.id in split.tasks or task.cluster in split.clusters
            rows = read([task]).examples[task.id]
            wish = self.orders.wish
            pool = [e for e in rows if not (wish.chooses(e.group) if out else hash64(e.group) in self.held)]
            self.pools[task.id] = (pool, {example.id: example for example in rows})
        return self.pools[task.id]
