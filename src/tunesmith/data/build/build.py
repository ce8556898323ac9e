"""From tasks to conversations: what is trained on, what is held out at which level, and the books of both.

    tasks --units--> rows in words --cards--> fates --> train, held_out, ledger, proof

Workers make rows and a card of each (``work``). From the cards alone it is decided where each row goes: the split comes
first, by id; where a training row has the prompt of a held-out one, the training row goes; only then is anything drawn:
``per_level`` rows of each level, and where less is wanted ``clusters`` or ``templates_per_task`` of the training side
(``decide``). A smaller draw is part of a larger one, so that a curve shows the size, not the luck; the held-out
side is the same for all of them. What is written does not depend on the engine, the number of workers, or how often the
build was killed and begun again.

    train.<format>/00000.parquet ...        conversations to train on
    held_out.<format>.<shots>.parquet       those that are asked, with their ``level``
    compared.train.parquet                  comparisons to train on, if there are any; compared.held_out.parquet
    proof.<format>.json, .parquet           what stands on which side, for anybody to check
    unused.<format>.parquet                 rows that are whole and not used, with ``why``, and the id they are ``like``
    unused.compared.parquet                 the same for comparisons, if there are any
    set_aside.<format>.jsonl                what could not be read or put into words, by file and line
    leaks.<format>.json                     what the leak audit found, if ``clean.leaks`` asks for it
    manifest.<format>.json                  sources by digest, tasks, templates, settings and books: see ``manifest``
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import chain, count, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, counted
from tunesmith.core.types import LEVELS, Comparison, Conversation, Example, Level, SetAside, Source
from tunesmith.data import store
from tunesmith.data.build import manifest
from tunesmith.data.build.assign import HELD, LEAK, TRAIN, Fates, decide
from tunesmith.data.build.engines import ENGINES
from tunesmith.data.build.fingerprints import Cards
from tunesmith.data.build.held_out import PLACES, HeldOut
from tunesmith.data.build.ledger import Ledger, Step
from tunesmith.data.build.notes import notes_of
from tunesmith.data.build.progress import Progress, silent
from tunesmith.data.build.proof import SplitProof, check_split
from tunesmith.data.build.winnow import Winnow
from tunesmith.data.build.worker import Done, Orders, Unit, cards_of, compared_of, prints_of, shard_of, units
from tunesmith.data.clean.cleaning import Cleaning
from tunesmith.data.clean.near import PrintsOnDisk
from tunesmith.data.load.examples import nothing, read
from tunesmith.data.tasks.render import render, wordings
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Unrenderable
from tunesmith.data.text.hashing import hash64, order

FILE_ROWS = 1 << 18
"""Training rows of one file."""
TOO_FEW = "the task has too few other examples to show"
TRIED = 32
"""Examples that are tried for a training row, to find those that may be shown."""
TOLD = 1000
"""Rows set aside that the ledger names one by one; the file beside it names all that are told."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives, in memory."""

    format: str
    train: Mapping[str, tuple[Conversation, ...]]
    """By task id."""
    held_out: Mapping[Level, tuple[Conversation, ...]]
    """By level; ``seen`` is a sample of the training rows."""
    ledger: Ledger
    proof: SplitProof


@dataclass(frozen=True, slots=True)
class FewShot:
    """Which training rows show answered examples before their question."""

    share: float
    """Of the rows that templates have put into words, chosen by their ids."""
    shots: int = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build wrote."""

    ledger: Ledger
    counts: Mapping[str, int]
    """Rows to train on, and asked at each level."""
    comparisons: int = 0
    data_sets: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    """Rows that each step of cleaning has mended or tagged."""
    notes: tuple[str, ...] = ()
    """What somebody should know of the files: how they are read where their names do not say it, and what to do about
    rows that are set aside."""
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    """What took how long, the work of all workers together."""


def build(
    tasks: Sequence[Task],
    held_out: HeldOut,
    *,
    seed: int,
    format: str = "instruction",
    per_level: int | None = None,
    clusters: int | None = None,
    templates_per_task: int | None = None,
    templates_named: Sequence[str] | None = None,
    templates_asked: Sequence[str] | None = None,
    shots: int = 0,
    wordings: int | None = None,
    few_shot: FewShot | None = None,
    cleaning: Cleaning | None = None,
) -> Built:
    """Build one format, and read all of it into memory: for tests and sets that are small."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        summary = build_to(
            out,
            tasks,
            held_out,
            seed=seed,
            format=format,
            per_level=per_level,
            clusters=clusters,
            templates_per_task=templates_per_task,
            templates_named=templates_named,
            templates_asked=templates_asked,
            shots=(shots,),
            wordings=wordings,
            few_shot=few_shot,
            cleaning=cleaning,
        )
        train: dict[str, list[Conversation]] = {}
        for row in store.conversations(*train_files(out, format)):
            train.setdefault(row.task, []).append(row)
        asked = read_held_out(out, format, shots)
        return Built(
            format,
            {task: tuple(rows) for task, rows in train.items()},
            {level: tuple(asked.get(level, ())) for level in LEVELS},
            summary.ledger,
            SplitProof.load(out / f"proof.{format}.json"),
        )


def build_to(
    out: Path,
    tasks: Sequence[Task],
    held_out: HeldOut,
    *,
    seed: int,
    format: str = "instruction",
    per_level: int | None = None,
    clusters: int | None = None,
    templates_per_task: int | None = None,
    templates_named: Sequence[str] | None = None,
    templates_asked: Sequence[str] | None = None,
    shots: Sequence[int] = (0,),
    wordings: int | None = None,
    few_shot: FewShot | None = None,
    cleaning: Cleaning | None = None,
    engine: str = "local",
    workers: int = 1,
    progress: Progress = silent,
) -> Summary:
    """Build one format into a folder. ``shots`` asks what is held out with so many answered examples before the
    question, each number in a file of its own; ``few_shot`` does the same to a share of the training rows. ``wordings``
    trains on so many of the templates for each example, not on all. What a killed build has done is used."""
    numbers = {"per_level": per_level, "clusters": clusters, "templates_per_task": templates_per_task}
    for name, value in {**numbers, "wordings": wordings, "shots": few_shot.shots if few_shot else None}.items():
        if value is not None and value < 1:
            raise DataError(f"{name} is {value}, wanted 1 or more.")
    if few_shot is not None and not 0 <= few_shot.share <= 1:
        raise DataError(f"The share of rows with examples is {few_shot.share}, wanted from 0 to 1.")
    cleaning = cleaning or Cleaning()
    orders = Orders.of(tasks, held_out, format, seed, cleaning)
    folder = _work_folder(out, orders)
    dones: list[Done] = []
    rows = 0
    task_of: list[int] = []
    """The task of each unit."""

    def noted() -> Iterator[Unit]:
        for unit in units(tasks):
            task_of.append(unit.task)
            yield unit

    for done in ENGINES[engine](orders, noted(), folder, workers):
        dones.append(done)
        rows += done.read
        progress("rows read", rows, None)
    problems = [done.problem for done in dones if done.problem]
    problems += [] if problems else list(_without_rows(tasks, dones, task_of))
    if problems:
        raise DataError("\n".join(problems))
    cards = Cards.join(cards_of(folder, done.number) for done in dones)
    broken = sum((Counter(done.broken) for done in dones), Counter[str]())
    seconds: dict[str, float] = {}
    for part, spent in ((part, spent) for done in dones for part, spent in done.seconds.items()):
        seconds[part] = seconds.get(part, 0.0) + spent
    winnow = Winnow(
        cleaning,
        cards,
        partial(_rows_of, folder, dones),
        lambda: PrintsOnDisk([prints_of(folder, done.number) for done in dones]),
        seed,
        progress,
    )
    began = perf_counter()
    fates = decide(
        cards,
        held_out,
        {task.id: [template.id for template in task.templates] for task in tasks},
        seed=seed,
        per_level=per_level,
        clusters=clusters,
        templates_per_task=templates_per_task,
        templates_named=templates_named,
        templates_asked=templates_asked,
        wordings=wordings,
        broken=broken,
        winnow=winnow,
    )
    decided = perf_counter()
    summary = _write(out, folder, tasks, orders, dones, cards, fates, shots, few_shot, progress)
    summary = replace(summary, notes=notes_of(tasks, dones))
    if winnow.leaks is not None:
        (out / f"leaks.{format}.json").write_text(json.dumps(winnow.leaks.to_json(), ensure_ascii=False))
    manifest.write(
        out,
        format,
        tasks,
        {
            "seed": seed,
            "per_level": per_level,
            "clusters": clusters,
            "templates_per_task": templates_per_task,
            "templates_named": list(templates_named) if templates_named else None,
            "templates_asked": list(templates_asked) if templates_asked else None,
            "shots": list(shots),
            "wordings": wordings,
            "few_shot": few_shot and asdict(few_shot),
            "held_out": held_out.to_json(),
            "cleaning": cleaning.model_dump(),
            "rows": dict(summary.counts),
            "comparisons": summary.comparisons,
            "changed": dict(summary.changed),
            "notes": list(summary.notes),
            "ledger": summary.ledger.to_json()["steps"],
        },
        _written(out, format),
    )
    shutil.rmtree(folder)
    for part, spent in winnow.seconds.items():
        seconds[part] = seconds.get(part, 0.0) + spent
    seconds["split"] = decided - began - sum(winnow.seconds.values())
    seconds["write what is kept"] = perf_counter() - decided
    return replace(summary, seconds=seconds)


def _without_rows(tasks: Sequence[Task], dones: Sequence[Done], task_of: Sequence[int]) -> Iterator[str]:
    """For each task of which no row can be used: that, and why the first one cannot."""
    for i, task in enumerate(tasks):
        mine = [done for done in dones if task_of[done.number] == i]
        if not any(done.rows for done in mine):
            aside = sum(sum(done.aside.values()) for done in mine)
            yield nothing(task, [row for done in mine for row in done.told][:1], aside)


def _rows_of(
    folder: Path, dones: Sequence[Done], mask: NDArray[np.bool_]
) -> Iterator[tuple[int, Conversation | Comparison]]:
    """The rows of a mask over all rows, with their numbers; of each unit the conversations first."""
    begin = 0
    for done in dones:
        compared = compared_of(folder, done.number)
        for path in [shard_of(folder, done.number), *([compared] if compared.exists() else [])]:
            for table in store.tables_of(path):
                at = begin + np.flatnonzero(mask[begin : begin + table.num_rows])
                if len(at):
                    found = (store.of_compared if path == compared else store.of_table)(table.take(at - begin))
                    yield from zip(at.tolist(), found, strict=True)
                begin += table.num_rows


def _written(out: Path, format: str) -> list[Path]:
    """The files of a build that hold its rows."""
    named = [path for path in out.glob(f"*.{format}.*") if not path.name.startswith("manifest.") and path.is_file()]
    return [*train_files(out, format), *named, *out.glob("compared.*.parquet"), *out.glob("unused.compared.parquet")]


def train_files(out: Path, format: str) -> list[Path]:
    """The files with the training rows of a format."""
    return sorted((out / f"train.{format}").glob("*.parquet"))


def held_out_file(out: Path, format: str, shots: int = 0) -> Path:
    """The file with the questions of a format, with so many answered examples before each."""
    return out / f"held_out.{format}.{shots}.parquet"


def read_held_out(out: Path, format: str, shots: int = 0) -> dict[Level, list[Conversation]]:
    """The questions of a format, by level."""
    found: dict[Level, list[Conversation]] = {}
    for table in store.tables_of(held_out_file(out, format, shots)):
        for level, row in zip(table["level"].to_pylist(), store.of_table(table), strict=True):
            found.setdefault(level, []).append(row)
    return found


def _work_folder(out: Path, orders: Orders) -> Path:
    """Where the workers write. What an earlier build with other orders left there goes."""
    folder = out / f"work.{orders.format}"
    key = blake2b(repr((orders, [_stamp(task) for task in orders.tasks])).encode(), digest_size=16).hexdigest()
    marker = folder / "key"
    if folder.exists() and not (marker.exists() and marker.read_text() == key):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(key)
    return folder


def _stamp(task: Task) -> list[tuple[str, int, int]]:
    """The files that a task is made of, by size and time."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in manifest.files_of(task)]


def _write(
    out: Path,
    folder: Path,
    tasks: Sequence[Task],
    orders: Orders,
    dones: Sequence[Done],
    cards: Cards,
    fates: Fates,
    shots: Sequence[int],
    few_shot: FewShot | None,
    progress: Progress,
) -> Summary:
    """All files of a build, from the shards of its workers."""
    kept = _Kept(orders.format, orders.wish, cards, fates, progress)
    for path in [*_written(out, orders.format), manifest.path_of(out, orders.format)]:
        path.unlink(missing_ok=True)  # of an earlier build, which may have written more than this one will
    train = out / f"train.{orders.format}"
    train.mkdir(parents=True, exist_ok=True)
    tables = (table for done in dones for table in kept.shard(folder, done.number))
    shown = _Shots(tasks, orders, fates, few_shot.shots, []) if few_shot else None
    _write_parts(train, (shown.among(table, few_shot.share) for table in tables) if shown and few_shot else tables)
    if kept.unknown:
        raise DataError(
            f"{counted(len(kept.unknown), 'id')} of `instances: ids` that no row has, such as {min(kept.unknown)!r}. "
            "An id is the part of a row's id before the @."
        )
    data_sets = {task: name for done in dones for task, name in done.data_sets.items()}
    proof = kept.proof(orders, data_sets)
    check_split(proof)
    proof.write(out / f"proof.{orders.format}.json")

    told = [aside for done in dones for aside in done.told] + kept.unused(folder, dones, out)
    steps = [_read_step(dones), *fates.steps]
    for number in shots:
        few: list[SetAside] = []
        asked = _Shots(tasks, orders, fates, number, few)
        questions = [(level, row) for level, rows in kept.asked().items() for row in asked.of(rows)]
        extra = {"level": [level for level, _ in questions]}
        store.write(held_out_file(out, orders.format, number), (row for _, row in questions), extra)
        if number:
            seen = Counter(level for level, _ in questions)
            drawn = sum(len(rows) for rows in fates.drawn.values())
            name = f"held-out rows with {number} examples before the question"
            out_of_it: dict[str, int] = {level: seen[level] for level in LEVELS}
            steps.append(Step(name, drawn, out_of_it, _count(few)))
            told += few
    compared = kept.compared(folder, dones, out)
    if shown is not None:
        trained = int((fates.of == TRAIN).sum()) - compared
        out_of_it = {f"with {shown.count} examples": shown.done, "as they are": trained - shown.done}
        steps.append(Step("training rows with examples before the question", trained, out_of_it))
    ledger = Ledger(tuple(steps), tuple(told[:TOLD]))
    with (out / f"set_aside.{orders.format}.jsonl").open("w", encoding="utf-8", errors="surrogatepass") as file:
        for row in told:
            line = {"row": row.row, "reason": row.reason, "source": str(row.source)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    counts: dict[str, int] = {"train": int((fates.of == TRAIN).sum()) - compared}
    counts |= {level: len(rows) for level, rows in fates.drawn.items()}
    changed = sum((Counter(done.changed) for done in dones), Counter[str]())
    return Summary(ledger, counts, compared, data_sets, dict(changed))


def _write_parts(folder: Path, tables: Iterable[Any]) -> None:
    """Tables into files of ``FILE_ROWS`` rows, in groups of the same size."""
    groups = _groups(tables)
    for number in count():
        few = list(islice(groups, 1))
        if few or not number:
            file = chain(few, islice(groups, FILE_ROWS // store.GROUP_ROWS - 1))
            store.write_tables(folder / f"{number:05}.parquet", file if few else [store.to_table([])])
        if not few:
            return


def _groups(tables: Iterable[Any]) -> Iterator[Any]:
    """The rows of tables in groups of ``store.GROUP_ROWS``."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= store.GROUP_ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, store.GROUP_ROWS)
            waiting, rows = [whole.slice(store.GROUP_ROWS)], rows - store.GROUP_ROWS
    if rows:
        yield pa.concat_tables(waiting)


class _Kept:
    """Goes through the shards once, and keeps what is needed besides the training rows."""

    def __init__(self, format: str, wish: HeldOut, cards: Cards, fates: Fates, progress: Progress) -> None:
        self.format = format
        self.progress = progress
        self.cards = cards
        self.fates = fates
        self.begin = 0
        self.wanted = {int(i) for rows in fates.drawn.values() for i in rows}
        self.named = np.zeros(len(cards), bool)
        """The rows because of which others are not used."""
        self.named[fates.because[fates.because >= 0]] = True
        self.rows: dict[int, Conversation] = {}
        self.ids: dict[int, str] = {}
        self.unknown = set(wish.ids)
        """Ids of the wish that no row has had so far."""
        self.proven: list[Any] = []
        self.begins: dict[int, int] = {}
        """Where each unit begins among the cards."""
        self.starts: dict[int, int] = {}
        """Where the comparisons of each unit begin among the cards."""
        self.groups: set[str] = set()

    def shard(self, folder: Path, number: int) -> Iterator[Any]:
        """The training rows of a unit."""
        self.begins[number] = self.begin
        for table in store.tables_of(shard_of(folder, number)):
            self.progress("rows written", self.begin, len(self.cards))
            at = np.arange(self.begin, self.begin + table.num_rows)
            self.begin += table.num_rows
            fate = self.fates.of[at]
            for i in np.flatnonzero(np.isin(at, list(self.wanted))) if self.wanted else ():
                (self.rows[int(at[i])],) = store.of_table(table.slice(int(i), 1))
            self._name(table, at)
            self._prove(table, at, fate)
            yield table.drop_columns("reason").filter(fate == TRAIN)
        self.starts[number] = self.begin
        part = compared_of(folder, number)
        if part.exists():
            for table in store.tables_of(part):
                at = np.arange(self.begin, self.begin + table.num_rows)
                self.begin += table.num_rows
                self._name(table, at)
                self._prove(table, at, self.fates.of[at])

    def _name(self, table: Any, at: Any) -> None:
        if self.unknown:
            self.unknown.difference_update(id.rpartition("@")[0] or id for id in table["id"].to_pylist())
        named = np.flatnonzero(self.named[at])
        if len(named):
            self.ids.update(zip(at[named].tolist(), table["id"].take(named).to_pylist(), strict=True))

    def _prove(self, table: Any, at: Any, fate: Any) -> None:
        import pyarrow as pa

        placed = fate < len(PLACES) - 1
        columns = {key: table[key].filter(placed) for key in ("id", "cluster", "group")}
        prompts = [f"{prompt:016x}" for prompt in self.cards.rows["prompt"][at[placed]].tolist()]
        sides = pa.array([PLACES[i] for i in fate[placed].tolist()], pa.string())
        self.proven.append(pa.table({"side": sides, **columns, "prompt": pa.array(prompts, pa.string())}))
        apart = np.isin(fate, [PLACES.index(level) for level in HELD if level != "wording"])
        self.groups |= set(table["group"].filter(apart).to_pylist())

    def proof(self, orders: Orders, data_sets: Mapping[str, str]) -> SplitProof:
        import pyarrow as pa

        return SplitProof(orders.format, orders.wish, frozenset(self.groups), pa.concat_tables(self.proven), data_sets)

    def asked(self) -> dict[Level, list[Conversation]]:
        """The drawn rows, by level."""
        return {level: [self.rows[int(i)] for i in self.fates.drawn[level]] for level in LEVELS}

    def unused(self, folder: Path, dones: Sequence[Done], out: Path) -> list[SetAside]:
        """Write the rows that are not used; and tell those that ask what is held out, one by one."""
        told: list[SetAside] = []
        name = f"unused.{self.format}.parquet"
        store.write_tables(out / name, self._unused([shard_of(folder, d.number) for d in dones], dones, False, told))
        there = [done for done in dones if compared_of(folder, done.number).exists()]
        if there:
            paths = [compared_of(folder, done.number) for done in there]
            store.write_tables(out / "unused.compared.parquet", self._unused(paths, there, True, told))
        return told

    def _unused(
        self, paths: Sequence[Path], dones: Sequence[Done], judged: bool, told: list[SetAside]
    ) -> Iterator[Any]:
        import pyarrow as pa

        for path, done in zip(paths, dones, strict=True):
            begin = self.starts[done.number] if judged else self.begins[done.number]
            for n, table in enumerate(store.tables_of(path)):
                at = np.arange(begin, begin + table.num_rows)
                begin += table.num_rows
                mine = np.flatnonzero(self.fates.of[at] >= len(PLACES))
                if not len(mine) and (n or done is not dones[0]):
                    continue  # one table at least, so that the file has its columns
                part = table.take(mine)
                why, like = [], []
                for i, dirty in zip(at[mine].tolist(), part["reason"].to_pylist(), strict=True):
                    note = self.fates.notes.get(i)
                    why.append(dirty or self.fates.reason(i) + (f": {note}" if note else ""))
                    like.append(self.ids.get(int(self.fates.because[i]), ""))
                for reason, other, id, source in zip(why, like, part["id"], part["source"], strict=True):
                    if reason == LEAK:
                        told.append(SetAside(id.as_py(), f"{LEAK}: {other}", Source.parse(source.as_py())))
                part = part.drop_columns("reason")
                part = part.append_column("why", pa.array(why, pa.string()))
                yield part.append_column("like", pa.array(like, pa.string()))

    def compared(self, folder: Path, dones: Sequence[Done], out: Path) -> int:
        """Write the comparisons of both sides; how many to train on."""
        there = [done.number for done in dones if compared_of(folder, done.number).exists()]
        if not there:
            return 0

        def of(side: str) -> Iterator[Any]:
            for number in there:
                at = self.starts[number]
                for table in store.tables_of(compared_of(folder, number)):
                    fate = self.fates.of[at : at + table.num_rows]
                    at += table.num_rows
                    held = np.isin(fate, [PLACES.index(level) for level in HELD])
                    yield table.drop_columns("reason").filter(fate == TRAIN if side == "train" else held)

        store.write_tables(out / "compared.held_out.parquet", of("held_out"))
        return store.write_tables(out / "compared.train.parquet", of("train"))


class _Shots:
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


def _read_step(dones: Sequence[Done]) -> Step:
    kinds = sum((Counter(done.kinds) for done in dones), Counter[str]())
    aside = sum((Counter(done.aside) for done in dones), Counter[str]())
    return Step("rows read", sum(done.read for done in dones), {k: c for k, c in kinds.items() if c}, dict(aside))


def _count(rows: Sequence[SetAside]) -> dict[str, int]:
    return dict(Counter(row.reason for row in rows))
