"""Where a row of a build came from and what became of it.

    for found in explain("runs/build", "capital.en/france@capital.en/what_is"):
        print(found.text())

A row is named by its id, by the id of its example (all its wordings), or by ``file:line``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import Comparison, Conversation, Message
from tunesmith.data import store
from tunesmith.data.builds import manifest
from tunesmith.data.files.packing import BROKEN
from tunesmith.data.files.stream import lines

MOST = 20
"""Rows that one name may stand for before the rest are left out."""


@dataclass(frozen=True)
class Explained:
    """One row: where it stands, and its way there."""

    row: Conversation | Comparison
    place: str
    """``trained on``, ``held out: cluster``, ``not used: <why>``."""
    like: str = ""
    """The row because of which it is not used."""
    reader: str = ""
    template: tuple[tuple[str, str], ...] = ()
    """Role and Jinja source of each turn."""
    template_source: str = ""
    line: str = ""
    """The row as its source holds it, where that is a line of a text file."""
    steps: tuple[str, ...] = field(default=())
    """The steps of cleaning that it was shown to."""

    def text(self) -> str:
        """Some lines for a screen."""
        row = self.row
        about = [
            ("row", row.id),
            ("is", self.place + (f" (like {self.like})" if self.like else "")),
            ("from", str(row.source)),
            ("reader", self.reader),
            ("task", f"{row.task}, cluster {row.cluster}, language {row.language}"),
            ("group", row.group),
            ("licence", row.licence or "not stated"),
        ]
        if isinstance(row, Conversation):
            about.append(("tags", ", ".join(row.tags) or "none"))
            about.append(("template", f"{row.template} {self.template_source}".strip()))
        about.append(("cleaned by", ", ".join(self.steps) or "nothing"))
        said = [f"{name:<11}{value}" for name, value in about]
        said += [f"  {role}: {source}" for role, source in self.template]
        if self.line:
            said += ["source row", f"  {self.line[:2000]}"]
        said.append("in words")
        for message in _messages(row):
            said.append(f"  {message.role}: " + message.content.replace("\n", "\n    "))
        return "\n".join(said)


def explain(folder: Path | str, name: str, format: str | None = None) -> list[Explained]:
    """The rows that ``name`` stands for, at most ``MOST``."""
    folder = Path(folder)
    about = manifest.load(folder, format)
    found = list(islice(_find(folder, about, name), MOST))
    if not found:
        aside = folder / f"set_aside.{manifest.load(folder, format)['format']}.jsonl"
        raise DataError(
            f"No row of {folder} is called {name!r}: neither its id, nor its example, nor file:line. "
            f"Rows that could not be read are in {aside}"
        )
    return found


def _find(folder: Path, about: dict[str, Any], name: str) -> Iterator[Explained]:
    cleaning = {**about["cleaning"], **about["cleaning"].get("outside", {})}  # steps of plug-ins stand deeper
    steps = tuple(key for key, settings in cleaning.items() if key != "outside" and settings["on"])
    format = about["format"]
    places = [
        *((path, "trained on") for path in sorted((folder / f"train.{format}").glob("*.parquet"))),
        (folder / f"held_out.{format}.0.parquet", "held out"),
        (folder / f"unused.{format}.parquet", "not used"),
        (folder / "compared.train.parquet", "trained on"),
        (folder / "compared.held_out.parquet", "held out"),
        (folder / "unused.compared.parquet", "not used"),
    ]
    for path, place in places:
        for row, extra in _rows(path, name) if path.is_file() else ():
            task: dict[str, Any] = about["tasks"].get(row.task) or next(
                (t for id, t in about["tasks"].items() if row.id.startswith(f"{id}/")), {}
            )
            template = task.get("templates", {}).get(row.template, {}) if isinstance(row, Conversation) else {}
            if extra.get("level") == "seen":
                continue  # a training row, which stands there too
            why = (
                f": {extra.get('why') or extra.get('level') or 'of a held-out group'}" if place != "trained on" else ""
            )
            yield Explained(
                row,
                place + why,
                extra.get("like") or "",
                task.get("reader", ""),
                tuple((role, text) for role, text in template.get("messages", ())),
                template.get("source", ""),
                _line(row.source.file, row.source.line),
                steps,
            )


def _rows(path: Path, name: str) -> Iterator[tuple[Conversation | Comparison, dict[str, str]]]:
    """The rows of a file that a name stands for, with the columns that only some files have."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        keys = file.read_row_group(group, columns=["id", "source"])
        hit = pc.or_(pc.equal(keys["id"], name), pc.starts_with(keys["id"], f"{name}@"))
        hit = pc.or_(hit, pc.or_(pc.equal(keys["source"], name), pc.ends_with(keys["source"], f"/{name}")))
        if not pc.any(hit).as_py():
            continue
        table = file.read_row_group(group).filter(hit)
        extra = [{k: r[k] for k in ("why", "like", "level") if k in r} for r in table.to_pylist()]
        rows: Iterator[Conversation | Comparison]
        rows = store.of_table(table) if "messages" in table.column_names else store.of_compared(table)
        yield from zip(rows, extra, strict=True)


def _line(file: str, number: int) -> str:
    """A line of a text file, or nothing."""
    if not number or not Path(file).is_file():
        return ""
    try:
        _, line = next(islice(lines(Path(file)), number - 1, None), (0, b""))
    except BROKEN:
        return ""
    return line.decode("utf-8", "replace").strip() if isinstance(line, bytes) else ""


def _messages(row: Conversation | Comparison) -> Iterator[Message]:
    if isinstance(row, Conversation):
        yield from row.messages
        return
    yield from row.prompt
    for answer, score in zip(row.answers, row.scores, strict=True):
        for message in answer:
            yield Message(f"{message.role} [{score:g}]", message.content)
