"""Looking at a data file to see which reader it is for, and saying by what.

    found = detect("chats.json.gz")
    found.reader, found.language, found.evidence
    task_of("chats.json.gz")                 # the task that the file is without a task file

The first rows are shown to the sign of every reader. One that knows nearly all of them by sight, and whose sign says
most, is meant. Where two say the same there is no guessing: the error names both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tunesmith.data.files import Row, kind_of, rows
from tunesmith.data.files.saved import HUB
from tunesmith.data.reader import READERS
from tunesmith.data.task import Task
from tunesmith.errors import DataError
from tunesmith.types import SetAside, Source

LOOK = 20
KNOWN = 0.8
"""The share of them that a reader must know; a broken row or two are no other kind of file."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_PLACEHOLDER = re.compile(r"\{\{ ?([a-z_]+) ?\}\}")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a file was taken for."""

    path: Path
    reader: str
    language: str
    evidence: tuple[str, ...]
    """In words, a line each."""


def detect(path: Path | str) -> Detected:
    """The reader of a file, or an error that says what was seen."""
    path = Path(path)
    kind = "hub" if str(path).startswith(HUB) else kind_of(path)
    looked = {kind: _first(path, kind)}
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
    fits.sort(key=lambda fit: (-fit[0], fit[1]))
    if not fits or (fits[0][0] == 0 and not _has_columns(looked[kind])):
        raise DataError(f"{path}: no reader knows these rows at sight. {_seen(looked[kind])}")
    best = [fit for fit in fits if fit[0] == fits[0][0]]
    if len(best) > 1:
        names = " and ".join(f"{name!r} ({says})" for _, name, says in best)
        raise DataError(f"{path}: these rows fit {names}. Name the reader in a task file: reader: {best[0][1]}")
    _, reader, says = best[0]
    rows_seen = looked[READERS[reader].kind or kind]
    language, why = _language(rows_seen)
    notes = [f"{says}: reader {reader!r}", why, *_notes(rows_seen)]
    if reader == "table":
        columns = sorted({str(key) for row in rows_seen if isinstance(row, Row) for key in row.value})
        notes.append(f"columns: {', '.join(columns)}; a task file says which of them are fields")
    return Detected(path, reader, language, tuple(notes))


def task_of(path: Path | str) -> Task:
    """The task that a file is by itself: rows in words, or a data set that brings its own instructions."""
    found = detect(path)
    reader = READERS[found.reader]
    stem = re.sub(r"[^\w+-]+", "_", Path(path).name.split(".")[0]).strip("_") or "data"
    if found.reader == "superni":
        from tunesmith.data.readers.superni import task_of_file

        return task_of_file(Path(path))
    if reader.gives == "records":
        raise DataError(
            f"{path}: {found.evidence[0]}; its rows are fields, and need templates. Write a task file with "
            f"`reader: {found.reader}` and `path: {Path(path).name}`"
        )
    return Task(
        id=f"{stem}.{found.language}",
        cluster=stem,
        language=found.language,
        name=stem,
        reader=found.reader,
        templates=(),
        settings={"path": Path(path)},
        source=Source(str(path)),
    )


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
