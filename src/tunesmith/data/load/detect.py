"""Detect the reader for a data file, and say why.

    found = detect("chats.json.gz")
    found.reader, found.language, found.evidence
    task_of("chats.json.gz")                 # the task that the file is without a task file

The first rows are tested against the sign of every reader. The reader with the most specific sign that fits nearly all
of them is chosen. Two equally specific ones are an error that names both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside, Source
from tunesmith.data.files import Row, kind_of, rows
from tunesmith.data.files.look import look
from tunesmith.data.files.saved import HUB
from tunesmith.data.readers.pairs import is_about, is_answer
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.data.tasks.task import Task

LOOK = 20
KNOWN = 0.8
"""The share of them that a reader must know; a broken row or two are no other kind of file."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_WHY = ("rationale", "explanation", "reasoning", "evidence")
"""Columns that say why an answer is right, and give it away."""
_LISTS = ("examples", "data", "rows", "train", "items", "samples", "instances", "questions", "records", "results")
"""Under what names an object holds its rows, if several of its values are lists."""
_PLACEHOLDER = re.compile(r"\{\{ ?([a-z_]+) ?\}\}")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a file was taken for."""

    path: Path
    reader: str
    language: str
    evidence: tuple[str, ...]
    """In words, a line each."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Keys of the task that the reader needs to find the rows: ``rows``."""


def detect(path: Path | str) -> Detected:
    """The reader of a file, or an error that says what was seen."""
    path = Path(path)
    kind = "hub" if str(path).startswith(HUB) else kind_of(path)
    read_as = look(path).notes if path.is_file() else ()
    looked = {kind: _first(path, kind)}
    fits = _fits(path, kind, looked)
    settings: dict[str, str] = {}
    if (not fits or fits[0][0] == 0) and (inner := _inside(looked[kind])):
        settings = {"rows": inner}
        looked = {kind: [Row(row, Source("")) for row in _only(looked[kind])[inner][:LOOK]]}
        fits = _fits(path, kind, looked)
    if not fits or (fits[0][0] == 0 and not _has_columns(looked[kind])):
        told = "".join(f" {note[:1].upper()}{note[1:]}." for note in read_as)
        raise DataError(f"{path}: no reader knows these rows at sight. {_seen(looked[kind])}{told}")
    best = [fit for fit in fits if fit[0] == fits[0][0]]
    if len(best) > 1:
        names = " and ".join(f"{name!r} ({says})" for _, name, says in best)
        raise DataError(f"{path}: these rows fit {names}. Name the reader in a task file: reader: {best[0][1]}")
    _, reader, says = best[0]
    rows_seen = looked[READERS[reader].kind or kind]
    language, why = _language(rows_seen)
    notes = [f"{says}: reader {reader!r}", *read_as, why, *_notes(rows_seen)]
    if settings:
        notes.insert(1, f"it is one object, whose rows are the list under `{settings['rows']}`")
    if reader == "table":
        columns = sorted({str(key) for row in rows_seen if isinstance(row, Row) for key in row.value})
        notes.append(f"columns: {', '.join(columns)}; a task file says which of them are fields")
    return Detected(path, reader, language, tuple(notes), settings)


def _fits(path: Path, kind: str, looked: dict[str, list[Row | SetAside]]) -> list[tuple[int, str, str]]:
    """The readers that know nearly all of the first rows, with what they see, the surest first."""
    fits: list[tuple[int, str, str]] = []
    for name in READERS:
        sign = READERS[name].sign
        if sign is None:
            continue
        own = READERS[name].kind
        if own and own != kind and kind != "csv":
            continue  # only tables can be meant as lines of text
        seen = own or kind
        if seen not in looked:
            looked[seen] = _first(path, seen)
        good = [row.value for row in looked[seen] if isinstance(row, Row)]
        known = sum(sign.fits(value) for value in good)
        if good and known >= KNOWN * len(good):
            fits.append((sign.weight, name, f"{_known(known, len(good))} {sign.says}"))
    return sorted(fits, key=lambda fit: (-fit[0], fit[1]))


def _only(looked: list[Row | SetAside]) -> dict[str, Any]:
    """The one object that a file holds, or nothing."""
    (row,) = looked if len(looked) == 1 else (None,)
    return row.value if isinstance(row, Row) and isinstance(row.value, dict) else {}


def _inside(looked: list[Row | SetAside]) -> str:
    """The name under which the one object of a file holds its rows, as BIG-Bench's files do."""
    lists = {
        key: value
        for key, value in _only(looked).items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value[:LOOK])
    }
    longest = max(lists, key=lambda name: len(lists[name]), default="")
    return next((name for name in _LISTS if name in lists), longest)


def task_of(path: Path | str) -> Task:
    """The task that a file is by itself: rows in words, or a data set that brings its own instructions."""
    found = detect(path)
    stem = re.sub(r"[^\w+-]+", "_", Path(path).name.split(".")[0]).strip("_") or "data"
    if found.reader == "superni":
        from tunesmith.data.readers.superni import task_of_file

        return task_of_file(Path(path))
    task = Task(
        id=f"{stem}.{found.language}",
        cluster=stem,
        language=found.language,
        name=stem,
        reader=found.reader,
        templates=(),
        settings={"path": Path(path), **found.settings},
        source=Source(str(path)),
    )
    if READERS[found.reader].gives == "records":
        raise DataError(f"{path}: {found.evidence[0]}; {_next_step(task)}")
    return task


def _next_step(task: Task) -> str:
    """What to do with rows that are fields and no words: the task file to begin with."""
    record = next((row for row in READERS[task.reader].read(task) if isinstance(row, Record)), None)
    if record is None:
        return "no row can be used. Look at the rows with a reader of your choice: a task file names it."
    columns = [name for name in record.fields if not is_about(name)]
    columns = columns if len(columns) > 1 else list(record.fields)
    if len(columns) < 2:
        return (
            f"its rows have nothing but `{columns[0]}`, so there is nothing to answer. Text to pretrain on is named in "
            "a recipe's build stage: text: [FILE]"
        )
    answer = next((name for name in reversed(columns) if is_answer(name)), columns[-1])
    asked = [name for name in columns if name != answer and name not in _WHY] or [columns[0]]
    path = task.settings["path"]
    head = [f"task: {task.name}", f"cluster: {task.cluster}", f"language: {task.language}"]
    where = [f"path: {path if str(path).startswith(HUB) else _text(path.name)}"]
    where += [f"rows: {_text(task.settings['rows'])}"] if "rows" in task.settings else []
    texts = all(isinstance(value := record.fields[name], str) and value[:1] not in "[{" for name in (*asked, answer))
    if task.reader == "table" and len(asked) == 1 and texts:
        pair = f"fields: {{prompt: {_text(asked[0])}, completion: {_text(answer)}}}"
        lines = [*head, "reader: prompt_completion", *where, pair]
    else:
        names = {own: own if own.isidentifier() else f"column_{n}" for n, own in enumerate(columns, 1)}
        fields = ", ".join(f"{name}: {_text(own)}" for own, name in names.items())
        renamed = [f"fields: {{{fields}}}"] if any(own != name for own, name in names.items()) else []
        shown = "\\n".join("{{ " + names[own] + " }}" for own in asked)
        template = f'templates: [{{id: ask, instruction: "{shown}", target: "{{{{ {names[answer]} }}}}"}}]'
        inputs = f"input: [{', '.join(names[own] for own in asked)}]"
        lines = [*head, f"reader: {task.reader}", *where, *renamed, inputs, f"answer: {names[answer]}", template]
    return (
        f"its rows are fields, which a task file puts into words. Paste these lines into {task.name}.yaml, put them "
        "right where they guess wrong, and name that file instead:\n\n" + "\n".join(lines) + "\n"
    )


def _text(value: str) -> str:
    """A text as YAML takes it: bare where that is safe, else in quotes."""
    bare = re.fullmatch(r"[\w./-]*[A-Za-z_\u3400-\u9fff][\w./-]*", value)
    return value if bare else json.dumps(value, ensure_ascii=False)


def _first(path: Path, kind: str) -> list[Row | SetAside]:
    try:
        return list(islice(rows(path, kind), LOOK))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _known(known: int, count: int) -> str:
    if count == 1:
        return "the only row is one of"
    return f"the first {count} rows are" if known == count else f"{known} of the first {count} rows are"


def _has_columns(looked: list[Row | SetAside]) -> bool:
    return any(isinstance(row, Row) and isinstance(row.value, dict) for row in looked)


def _seen(looked: list[Row | SetAside]) -> str:
    row = next((row for row in looked if isinstance(row, Row)), None)
    if row is None:
        why = f"; the first: {looked[0].reason}" if looked and isinstance(looked[0], SetAside) else ""
        return f"No row can be read{why}"
    if isinstance(row.value, dict):
        return f"The first has the keys {', '.join(map(str, row.value))}."
    return f"The first is a {type(row.value).__name__}."


def _language(looked: list[Row | SetAside]) -> tuple[str, str]:
    """Chinese or English, by the letters."""
    text = "".join(str(row.value)[:5000] for row in looked if isinstance(row, Row))
    han, letters = len(_HAN.findall(text)), max(1, len(_LETTER.findall(text)))
    language = "zh" if han / letters > 0.2 else "en"
    return language, f"{han / letters:.0%} of the letters are Chinese: language {language!r}"


def _notes(looked: list[Row | SetAside]) -> list[str]:
    names = sorted({name for row in looked if isinstance(row, Row) for name in _PLACEHOLDER.findall(str(row.value))})
    bad = [row for row in looked if isinstance(row, SetAside)]
    notes = (
        [f"placeholders {', '.join('{{' + n + '}}' for n in names)}: the key `fill` puts words there"] if names else []
    )
    return notes + ([f"{len(bad)} of the first {len(looked)} rows cannot be read: {bad[0].reason}"] if bad else [])
