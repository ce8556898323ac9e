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
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import perf_counter

from tunesmith.core import plugins
from tunesmith.core.errors import DataError, counted
from tunesmith.core.types import LEVELS, Conversation, Level, SetAside
from tunesmith.data import store
from tunesmith.data.builds import manifest
from tunesmith.data.builds.assign import TRAIN, Fates, Selection, decide
from tunesmith.data.builds.engines import ENGINES
from tunesmith.data.builds.few_shot import FewShot, Shots
from tunesmith.data.builds.fingerprints import Cards
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.builds.ledger import Ledger, Step
from tunesmith.data.builds.notes import notes_of
from tunesmith.data.builds.output import TOLD, Kept, count_reasons, rows_of_unit, write_parts
from tunesmith.data.builds.paths import files_written, held_out_file, read_held_out, train_files
from tunesmith.data.builds.progress import Progress, silent
from tunesmith.data.builds.proof import SplitProof, check_split
from tunesmith.data.builds.winnow import Winnow
from tunesmith.data.builds.worker import Done, Orders, Unit, cards_of, prints_of, units
from tunesmith.data.clean.cleaning import Cleaning
from tunesmith.data.clean.near import PrintsOnDisk
from tunesmith.data.load.examples import nothing
from tunesmith.data.tasks.task import Task


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
    take = Selection(seed, per_level, clusters, templates_per_task, templates_named, templates_asked, wordings)
    _check_numbers(take, few_shot)
    cleaning = cleaning or Cleaning()
    orders = Orders.of(tasks, held_out, format, seed, cleaning)
    folder = _work_folder(out, orders)
    dones = _read(tasks, orders, folder, engine, workers, progress)
    cards = Cards.join(cards_of(folder, done.number) for done in dones)
    winnow = Winnow(
        cleaning,
        cards,
        partial(rows_of_unit, folder, dones),
        lambda: PrintsOnDisk([prints_of(folder, done.number) for done in dones]),
        seed,
        progress,
    )
    began = perf_counter()
    fates = decide(
        cards,
        held_out,
        {task.id: [template.id for template in task.templates] for task in tasks},
        take,
        broken=sum((Counter(done.broken) for done in dones), Counter[str]()),
        winnow=winnow,
    )
    decided = perf_counter()
    summary = _write(out, folder, tasks, orders, dones, cards, fates, shots, few_shot, progress)
    summary = replace(summary, notes=notes_of(tasks, dones))
    if winnow.leaks is not None:
        (out / f"leaks.{format}.json").write_text(json.dumps(winnow.leaks.to_json(), ensure_ascii=False))
    _write_manifest(out, tasks, orders, take, shots, few_shot, summary)
    shutil.rmtree(folder)
    seconds: dict[str, float] = {}
    for spent in (*(done.seconds for done in dones), winnow.seconds):
        for part, time in spent.items():
            seconds[part] = seconds.get(part, 0.0) + time
    seconds["split"] = decided - began - sum(winnow.seconds.values())
    seconds["write what is kept"] = perf_counter() - decided
    return replace(summary, seconds=seconds)


def _check_numbers(take: Selection, few_shot: FewShot | None) -> None:
    numbers = {name: getattr(take, name) for name in ("per_level", "clusters", "templates_per_task", "wordings")}
    for name, value in {**numbers, "shots": few_shot.shots if few_shot else None}.items():
        if value is not None and value < 1:
            raise DataError(f"{name} is {value}, wanted 1 or more.")
    if few_shot is not None and not 0 <= few_shot.share <= 1:
        raise DataError(f"The share of rows with examples is {few_shot.share}, wanted from 0 to 1.")


def _read(
    tasks: Sequence[Task], orders: Orders, folder: Path, engine: str, workers: int, progress: Progress
) -> list[Done]:
    """Let the workers read all units of all tasks; a task of which nothing can be used is an error."""
    if workers > 1 and plugins.typed_in(orders.outside):
        raise DataError(
            f"A reader or a step of cleaning was defined in a notebook or at a prompt, where {workers} workers cannot "
            "import it. Use workers=1, or put it into a file and import that."
        )
    task_of: list[int] = []
    """The task of each unit."""

    def noted() -> Iterator[Unit]:
        for unit in units(tasks):
            task_of.append(unit.task)
            yield unit

    dones: list[Done] = []
    rows = 0
    for done in ENGINES[engine](orders, noted(), folder, workers):
        dones.append(done)
        rows += done.read
        progress("rows read", rows, None)
    problems = [done.problem for done in dones if done.problem]
    problems += [] if problems else list(_without_rows(tasks, dones, task_of))
    if problems:
        raise DataError("\n".join(problems))
    return dones


def _write_manifest(
    out: Path,
    tasks: Sequence[Task],
    orders: Orders,
    take: Selection,
    shots: Sequence[int],
    few_shot: FewShot | None,
    summary: Summary,
) -> None:
    """What the build was asked for, and what came of it."""
    about = {
        **asdict(take),
        "shots": list(shots),
        "few_shot": few_shot and asdict(few_shot),
        "held_out": orders.wish.to_json(),
        "cleaning": orders.cleaning.model_dump(),
        "rows": dict(summary.counts),
        "comparisons": summary.comparisons,
        "changed": dict(summary.changed),
        "notes": list(summary.notes),
        "ledger": summary.ledger.to_json()["steps"],
    }
    for name in ("templates_named", "templates_asked"):
        about[name] = list(about[name]) if about[name] else None
    manifest.write(out, orders.format, tasks, about, files_written(out, orders.format))


def _without_rows(tasks: Sequence[Task], dones: Sequence[Done], task_of: Sequence[int]) -> Iterator[str]:
    """For each task of which no row can be used: that, and why the first one cannot."""
    for i, task in enumerate(tasks):
        mine = [done for done in dones if task_of[done.number] == i]
        if not any(done.rows for done in mine):
            aside = sum(sum(done.aside.values()) for done in mine)
            yield nothing(task, [row for done in mine for row in done.told][:1], aside)


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
    kept = Kept(orders.format, orders.wish, cards, fates, progress)
    for path in [*files_written(out, orders.format), manifest.path_of(out, orders.format)]:
        path.unlink(missing_ok=True)  # of an earlier build, which may have written more than this one will
    train = out / f"train.{orders.format}"
    train.mkdir(parents=True, exist_ok=True)
    tables = (table for done in dones for table in kept.shard(folder, done.number))
    shown = Shots(tasks, orders, fates, few_shot.shots, []) if few_shot else None
    write_parts(train, (shown.among(table, few_shot.share) for table in tables) if shown and few_shot else tables)
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
        asked = Shots(tasks, orders, fates, number, few)
        questions = [(level, row) for level, rows in kept.asked().items() for row in asked.of(rows)]
        extra = {"level": [level for level, _ in questions]}
        store.write(held_out_file(out, orders.format, number), (row for _, row in questions), extra)
        if number:
            seen = Counter(level for level, _ in questions)
            drawn = sum(len(rows) for rows in fates.drawn.values())
            name = f"held-out rows with {number} examples before the question"
            out_of_it: dict[str, int] = {level: seen[level] for level in LEVELS}
            steps.append(Step(name, drawn, out_of_it, count_reasons(few)))
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


def _read_step(dones: Sequence[Done]) -> Step:
    kinds = sum((Counter(done.kinds) for done in dones), Counter[str]())
    aside = sum((Counter(done.aside) for done in dones), Counter[str]())
    return Step("rows read", sum(done.read for done in dones), {k: c for k, c in kinds.items() if c}, dict(aside))
