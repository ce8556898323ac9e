"""What a first recipe has to know of the data and the model that it is for.

    found = survey(["chats.jsonl"], "models/base")
    found.rows, found.mean, found.longest, found.evidence

Lengths are counted with the model's own chat format where its folder is here, on a sample of the rows. A model that is
on the hub is not fetched for this: then four bytes count as a token, and the recipe says so.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.core.document import path_of
from tunesmith.core.errors import DataError, RecipeError, TunesmithError, near
from tunesmith.core.types import Conversation
from tunesmith.data.files.saved import HUB
from tunesmith.data.load.detect import detect
from tunesmith.data.load.examples import read
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.data.tasks.render import render
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Unrenderable
from tunesmith.models.stored import config_of
from tunesmith.stages import hub, training
from tunesmith.stages.build import load_tasks_of

SAMPLE = 1000
"""Rows that are measured."""
MOST = 200_000
"""Rows of a file that are counted; a larger one has "more than" so many."""
MOST_OF_HUB = 5000
"""The same for a data set of the hub, which is read over the network."""
BYTES = 4
"""Bytes of a token where no tokenizer can be asked."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The data and the model, in figures."""

    tasks: tuple[str, ...]
    """Places of rows to tune on, as they were given."""
    text: tuple[str, ...]
    """Places of plain text."""
    rows: int
    more: bool
    """Whether there are more rows than were counted."""
    mean: float
    """Tokens of a row."""
    longest: int
    """Tokens of the longest row of the sample."""
    characters: int
    """Of the plain text."""
    evidence: tuple[str, ...]
    """What each place was taken for, a line each."""
    counted_with: str
    """How tokens were counted, in words."""
    templated: bool | None
    """Whether the model brings a chat format (or needs none); None where it is not here to be asked."""
    most: int | None
    """Tokens that the model can read, where that is known."""


def survey(places: Sequence[str], model: str) -> Survey:
    """Look at the data and, where it is here, at the model."""
    tasks: list[str] = []
    texts: list[str] = []
    evidence: list[str] = []
    characters = 0
    for place in places:
        kind, said = _look(place)
        evidence.append(f"{place}: {said}")
        if kind == "text":
            texts.append(place)
            characters += path_of(place).stat().st_size
        else:
            tasks.append(place)
    count, sample, more = _sampled(tasks)
    lengths, how, templated = _lengths(sample, model)
    return Survey(
        tasks=tuple(tasks),
        text=tuple(texts),
        rows=count,
        more=more,
        mean=sum(lengths) / len(lengths) if lengths else 0.0,
        longest=max(lengths, default=0),
        characters=characters,
        evidence=tuple(evidence),
        counted_with=how,
        templated=templated,
        most=_most(model),
    )


def _look(place: str) -> tuple[str, str]:
    """Whether a place holds rows or plain text, and why we think so."""
    if place.startswith(("littleworld", HUB)) and not Path(place).exists():
        return "rows", "rows of the package" if place.startswith("littleworld") else detect(place).evidence[0]
    path = path_of(place)
    if not path.exists():
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise RecipeError(f"There is no data file or folder {place}{near(path.name, beside)}")
    if path.suffix in (".yaml", ".yml") or (path.is_dir() and not (path / "state.json").exists()):
        return "rows", "task files"
    found = detect(path)
    return ("text" if found.reader == "text" else "rows"), found.evidence[0]


def _sampled(places: Sequence[str]) -> tuple[int, list[Conversation], bool]:
    """How many rows there are, some of them as conversations, and whether there are more than were counted."""
    drawn = random.Random(0)
    sample: list[Conversation] = []
    count, more = 0, False
    for task in load_tasks_of(places) if places else ():
        for number, row in enumerate(_rows(task)):
            if number == (MOST_OF_HUB if str(task.settings.get("path", "")).startswith(HUB) else MOST):
                more = True
                break
            count += 1
            at = len(sample) if len(sample) < SAMPLE else drawn.randrange(count)
            if at < SAMPLE:
                sample[at : at + 1] = [row]
    if places and not count:
        raise DataError(f"{', '.join(places)}: no row can be used. Look at them with: tunesmith data sample PATH")
    return count, sample, more


def _rows(task: Task) -> Iterator[Conversation]:
    """The rows of a task in words: labelled ones in its first template."""
    if READERS[task.reader].gives == "words":
        yield from (row for row in READERS[task.reader].read(task) if isinstance(row, Conversation))
        return
    if not any(isinstance(row, Record) for row in READERS[task.reader].read(task)):
        return
    for example in read([task]).examples[task.id]:
        try:
            yield render(example, task.templates[0], task, ())
        except Unrenderable:
            continue


def _lengths(sample: Sequence[Conversation], model: str) -> tuple[list[int], str, bool | None]:
    """Tokens of each row, how they were counted, and whether the model has a chat format."""
    guessed = [-(-_bytes(row) // BYTES) for row in sample]
    if not model or not hub.is_folder(model):
        return guessed, f"estimated: {BYTES} bytes a token, as the model is not here to be asked", None
    folder = training.model_folder(path_of(model))
    pair = training.is_pair(folder)
    try:
        fmt = training.open_format(folder, "pair" if pair else None)
        templated = True
    except TunesmithError:
        fmt, templated = training.open_format(folder, "chatml"), False
    encoded = fmt.encode_many([replace(row, id=str(i)) for i, row in enumerate(sample)])
    lengths = [int(length) for length in encoded.lengths]
    return lengths or guessed, f"counted with the tokenizer of {model}, on {len(sample):,} rows", templated


def _bytes(row: Conversation) -> int:
    return sum(len(m.content.encode("utf-8", "surrogatepass")) for m in row.messages) + 16 * len(row.messages)


def _most(model: str) -> int | None:
    """How many tokens a model can read, as its configuration has it."""
    if not model or not hub.is_folder(model):
        return None
    fields = config_of(training.model_folder(path_of(model)))
    found = fields.get("max_position_embeddings") or fields.get("n_positions")
    return int(found) if isinstance(found, int) else None
