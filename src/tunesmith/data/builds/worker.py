"""The part of a build that many workers share: from a stretch of a source to rows in words, by itself.

    for unit in units(tasks):                    a task with templates, or a piece of a file of rows in words
        done = work(orders, unit, folder)        in any process; writes <number>.parquet, .npz and .json

What a unit gives depends on the orders and the unit alone, so it does not matter who does it, in which order, or how
often. The .json is written last: a unit whose .json is there is done, also after a kill.
"""

from __future__ import annotations

import importlib
import json
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import perf_counter
from typing import Any

from tunesmith.core import plugins
from tunesmith.core.plugins import Outside
from tunesmith.core.types import Comparison, Conversation, SetAside, Source
from tunesmith.core.whole import write_whole
from tunesmith.data import store
from tunesmith.data.builds.fingerprints import CardBox, Cards
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.builds.ledger import by_reason
from tunesmith.data.builds.proof import prompt_digest
from tunesmith.data.clean.cleaning import Cleaner, Cleaning, Of
from tunesmith.data.clean.near import prints
from tunesmith.data.files import Piece, pieces
from tunesmith.data.load.examples import placed, read
from tunesmith.data.readers.shape import CUT
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.data.tasks.render import render, wordings
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Unbounded, Unrenderable

KEPT_ASIDE = 1000
"""Rows set aside of one unit that are told one by one; all are counted."""


@dataclass(frozen=True)
class Orders:
    """What all workers are told."""

    tasks: tuple[Task, ...]
    wish: HeldOut
    format: str
    seed: int
    modules: tuple[str, ...] = ()
    """Modules of the package whose import registers the readers of the tasks."""
    cleaning: Cleaning = field(default_factory=Cleaning)
    outside: tuple[Outside, ...] = ()
    """Plug-ins with readers and steps of cleaning."""

    @classmethod
    def of(cls, tasks: Sequence[Task], wish: HeldOut, format: str, seed: int, cleaning: Cleaning) -> Orders:
        modules = {READERS[task.reader].read.__module__ for task in tasks}
        ours = sorted(module for module in modules if module.partition(".")[0] == plugins.OWN)
        return cls(tuple(tasks), wish, format, seed, tuple(ours), cleaning, plugins.modules(["data"]))

    def __reduce__(self) -> tuple[Any, ...]:
        # The settings of a step of cleaning can only be unpickled where the plug-in that defines it was imported.
        return _orders, (self.outside, pickle.dumps(tuple(getattr(self, field.name) for field in fields(self))))


def _orders(outside: Sequence[Outside], rest: bytes) -> Orders:
    """The orders in a worker."""
    plugins.again(outside)
    return Orders(*pickle.loads(rest))


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work."""

    number: int
    task: int
    piece: Piece | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a unit gave, in numbers."""

    number: int
    read: int
    """Rows that the reader saw."""
    kinds: Mapping[str, int]
    """Of those: examples, conversations, comparisons."""
    aside: Mapping[str, int]
    """Rows that the reader or the task set aside, by reason."""
    rows: int
    """Rows in words, before any decision: those in the shard, and those that could not be put into words."""
    broken: Mapping[str, int]
    told: tuple[SetAside, ...] = ()
    """The rows set aside and the broken ones, one by one, the first of them."""
    problem: str = ""
    """A mistake in the task that makes all of it unusable."""
    data_sets: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    """Rows that each step of cleaning has mended or tagged."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What took how long; no result depends on it."""

    @staticmethod
    def path(folder: Path, number: int) -> Path:
        return folder / f"{number:06}.json"

    @classmethod
    def load(cls, folder: Path, number: int) -> Done | None:
        """What a unit gave in an earlier run, if it was done."""
        path = cls.path(folder, number)
        if not path.exists():
            return None
        value = json.loads(path.read_text(encoding="utf-8"))
        told = tuple(SetAside(t["row"], t["reason"], Source(**t["source"])) for t in value.pop("told"))
        return cls(told=told, **value)


def units(tasks: Sequence[Task]) -> Iterator[Unit]:
    """All work that there is, in the order of the rows."""
    number = 0
    for i, task in enumerate(tasks):
        reader = READERS[task.reader]
        whole = reader.gives == "records" or reader.of_piece is None
        for piece in [None] if whole else pieces(task.settings["path"], reader.kind):
            yield Unit(number, i, piece)
            number += 1


def work(orders: Orders, unit: Unit, folder: Path) -> Done:
    """Do a unit, unless it is done."""
    found = Done.load(folder, unit.number)
    if found is not None:
        return found
    for module in orders.modules:
        importlib.import_module(module)
    task = orders.tasks[unit.task]
    began = perf_counter()
    job = _Work(orders, task)
    shard = folder / f"{unit.number:06}"
    # The reasons are a list that grows while the rows are written: a row's reason is there when the row is.
    store.write(shard.with_suffix(".parquet"), job.conversations(unit), {"reason": job.reasons})
    if job.comparisons:
        store.write_comparisons(
            shard.with_suffix(".compared.parquet"), job.comparisons, {"reason": job.reasons_compared}
        )
    job.box.cards().save(shard.with_suffix(".npz"))
    seconds: Counter[str] = Counter(job.cleaner.seconds)
    if orders.cleaning.near.on:
        near = perf_counter()
        prints(job.texts).save(shard)
        seconds["near"] = perf_counter() - near  # type: ignore[assignment]
    seconds["read, render and write"] = perf_counter() - began - sum(seconds.values())  # type: ignore[assignment]
    done = Done(
        unit.number,
        job.read,
        dict(job.kinds),
        job.aside,
        job.rows,
        by_reason(job.broken),
        (*job.told[:KEPT_ASIDE], *job.broken[:KEPT_ASIDE]),
        job.problem,
        job.data_sets,
        dict(job.cleaner.changed),
        dict(seconds),
    )
    _write(Done.path(folder, unit.number), asdict(done))
    return done


class _Work:
    """One unit in the making."""

    def __init__(self, orders: Orders, task: Task) -> None:
        self.orders = orders
        self.task = task
        self.box = CardBox(orders.wish, orders.seed)
        self.read = self.rows = 0
        self.kinds: Counter[str] = Counter()
        self.aside: dict[str, int] = {}
        self.told: list[SetAside] = []
        self.broken: list[SetAside] = []
        self.comparisons: list[Comparison] = []
        self.problem = ""
        self.data_sets: dict[str, str] = {}
        self.cleaner = Cleaner(orders.cleaning)
        self.reasons: list[str] = []
        """For each conversation why cleaning drops it, or nothing."""
        self.reasons_compared: list[str] = []
        self.texts: list[str] = []
        """What ``near`` compares of each row."""

    def conversations(self, unit: Unit) -> Iterator[Conversation]:
        """The conversations, in their order; comparisons and all that went wrong are noted on the way."""
        rows = self._of_task() if unit.piece is None else self._of_piece(unit.piece)
        for found, rendered in rows:
            self.rows += 1
            row, reason = self.cleaner.clean(found)
            self.reasons.append(reason)
            self._told(row, reason)
            self.cleaner.changed.update(tag for tag in found.tags if tag == CUT)
            data_set = self._data_set(row.task)
            prompt = prompt_digest(row, self.orders.format)
            self.box.add(row, prompt, data_set, reason=_counted(reason), rendered=rendered)
            if self.orders.cleaning.near.on:
                self.texts.append("" if rendered or reason else _compared(row, self.orders.cleaning.near.of))
            yield row
        for i, judged in enumerate(self.comparisons):
            self.rows += 1
            clean, reason = self.cleaner.clean_comparison(judged)
            self.comparisons[i] = clean
            self.reasons_compared.append(reason)
            self._told(clean, reason)
            asked = prompt_digest(Conversation(clean.prompt), self.orders.format)
            self.box.add(clean, asked, self._data_set(clean.task), reason=_counted(reason))
            if self.orders.cleaning.near.on:
                self.texts.append("" if reason else _compared(clean, self.orders.cleaning.near.of))

    def _data_set(self, task: str) -> str:
        self.data_sets[task] = self.task.name if task == self.task.id else task
        return self.data_sets[task]

    def _told(self, row: Conversation | Comparison, reason: str) -> None:
        if reason:
            self.told.append(SetAside(row.id, reason, row.source))

    def _of_task(self) -> Iterator[tuple[Conversation, bool]]:
        from tunesmith.core.errors import DataError

        try:
            found = read([self.task])
        except DataError as error:
            self.problem = str(error)
            return
        self.read = found.rows
        self._note(found.set_aside)
        examples = found.examples[self.task.id]
        self.kinds["examples"] = len(examples)
        for template in wordings(self.task, self.orders.format):
            for example in examples:
                try:
                    yield render(example, template, self.task), True
                except Unbounded as error:
                    self.problem = (
                        f"{template.source or self.task.source}: template {template.id}, row {example.id}: {error}."
                    )
                    return
                except Unrenderable as error:
                    self.rows += 1
                    self.broken.append(SetAside(f"{example.id}@{template.id}", str(error), example.source))
        for conversation in found.conversations.get(self.task.id, ()):
            self.kinds["conversations"] += 1
            yield conversation, False
        self._compare(found.comparisons.get(self.task.id, ()))

    def _of_piece(self, piece: Piece) -> Iterator[tuple[Conversation, bool]]:
        of_piece = READERS[self.task.reader].of_piece
        assert of_piece is not None
        aside: list[SetAside] = []
        judged: list[Comparison] = []
        for row in of_piece(piece, self.task):
            self.read += 1
            if isinstance(row, Conversation):
                self.kinds["conversations"] += 1
                yield placed(self.task, row), False
            elif isinstance(row, Comparison):
                judged.append(placed(self.task, row))
            elif isinstance(row, SetAside):
                aside.append(row)
            else:
                assert not isinstance(row, Record), f"reader {self.task.reader!r} gives records, and says words"
        self._note(aside)
        self._compare(judged)

    def _compare(self, judged: Sequence[Comparison]) -> None:
        self.comparisons += judged
        if judged:
            self.kinds["comparisons"] += len(judged)

    def _note(self, aside: Sequence[SetAside]) -> None:
        self.aside = by_reason(aside)
        self.told += aside[:KEPT_ASIDE]


def _counted(reason: str) -> str:
    """The part of a reason that is counted: the step, and why; not what is about the one row."""
    return ":".join(reason.split(":")[:2])


def _compared(row: Conversation | Comparison, of: Of) -> str:
    """What of a row is compared, of a comparison all answers; system messages are the same in all rows of a set."""
    if isinstance(row, Comparison):
        answers = tuple(message for answer in row.answers for message in answer)
    else:
        answers = row.messages[len(row.prompt) :]
    messages = row.prompt if of == "prompt" else answers if of == "answer" and answers else (*row.prompt, *answers)
    return "\n".join(m.content for m in messages if m.role != "system")


def cards_of(folder: Path, number: int) -> Cards:
    """The cards of a unit that is done."""
    return Cards.load(folder / f"{number:06}.npz")


def shard_of(folder: Path, number: int) -> Path:
    """The conversations of a unit that is done."""
    return folder / f"{number:06}.parquet"


def compared_of(folder: Path, number: int) -> Path:
    """The comparisons of a unit that is done, if there are any."""
    return folder / f"{number:06}.compared.parquet"


def prints_of(folder: Path, number: int) -> Path:
    """Where the prints of a unit that is done are, if near-duplicates are looked for."""
    return folder / f"{number:06}"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(value, ensure_ascii=False), errors="surrogatepass")
