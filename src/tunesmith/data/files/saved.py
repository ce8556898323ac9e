"""Data sets of Hugging Face: folders that ``save_to_disk`` wrote, and ``hub:owner/name`` through ``datasets``.

    data/my_set                                     a saved data set; of several splits all are read, in their order
    hub:allenai/tulu-3-sft-mixture                  the split ``train``
    hub:openai/gsm8k?config=main&split=test&revision=e53f048
    local_copy(Path("data"), "hub:...")             the same below a folder, where somebody has downloaded it

What stands on the hub is read as a stream, the one revision that is named (the newest where none is: name it, for
what is not pinned can change under a run). Code of a data set's author is never run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tunesmith.core.errors import DataError, nearest
from tunesmith.core.types import SetAside, Source
from tunesmith.data.files.file import FILES, PIECE_ROWS, Kind, Piece, Row, aside
from tunesmith.data.files.parquet import of_table

HUB = "hub:"
_OPTIONS = ("config", "split", "revision")


def split(path: Path) -> Iterator[Piece]:
    for folder in _folders(path):
        state = _json(folder / "state.json")
        first = 1
        for file in (folder / entry["filename"] for entry in state.get("_data_files", ())):
            for number, size in enumerate(_batches(file)):
                yield Piece("saved", str(file), first, (number, size))
                first += size


def parse(piece: Piece) -> Iterator[Row | SetAside]:
    import pyarrow

    number, size = piece.content
    try:
        with pyarrow.memory_map(piece.path) as source:
            for i, batch in enumerate(pyarrow.ipc.open_stream(source)):
                if i == number:
                    yield from of_table(pyarrow.Table.from_batches([batch]), piece)
                    return
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"{size} rows cannot be read: {str(error).splitlines()[0]}"
        yield aside(Source(piece.path, item=piece.first), reason)


def _folders(path: Path) -> list[Path]:
    if (path / "dataset_dict.json").is_file():
        return [path / name for name in _json(path / "dataset_dict.json")["splits"]]
    if (path / "state.json").is_file():
        return [path]
    raise DataError(
        f"{path} is a folder, but no data set that `save_to_disk` wrote (no state.json, no dataset_dict.json). "
        "Name the files in it, or a folder of task files."
    )


def _batches(file: Path) -> Iterator[int]:
    import pyarrow

    with pyarrow.memory_map(str(file)) as source:
        yield from (batch.num_rows for batch in pyarrow.ipc.open_stream(source))


def _json(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return value


def split_hub(path: Path) -> Iterator[Piece]:
    """A data set of the hub. The path is the text ``hub:...``, or what stands for the hub's copy on disk."""
    import datasets

    name, options = hub_name(str(path))
    try:
        rows = datasets.load_dataset(
            name,
            options.get("config"),
            split=options.get("split", "train"),
            revision=options.get("revision"),
            streaming=True,
        )
    except Exception as error:  # the library raises many kinds, from the network to a wrong split
        raise DataError(f"{path}: {type(error).__name__}: {str(error).splitlines()[0]}") from None
    first, content = 1, []
    for row in rows:
        content.append(row)
        if len(content) == PIECE_ROWS:
            yield Piece("hub", str(path), first, content)
            first, content = first + len(content), []
    if content:
        yield Piece("hub", str(path), first, content)


def parse_hub(piece: Piece) -> Iterator[Row | SetAside]:
    for i, value in enumerate(piece.content):
        yield Row(value, Source(piece.path, item=piece.first + i))


def hub_name(text: str) -> tuple[str, dict[str, str]]:
    """The data set's name and the options of ``hub:owner/name?split=test``."""
    name, _, query = text.removeprefix(HUB).partition("?")
    options = dict(parse_qsl(query))
    for key in options:
        if key not in _OPTIONS:
            close = nearest(key, _OPTIONS)
            raise DataError(
                f"{text}: option {key!r} is not known"
                + (f"; did you mean {close!r}?" if close else "")
                + f" Known: {', '.join(_OPTIONS)}."
            )
    return name, options


def local_copy(folder: Path, text: str) -> Path:
    """Where a data set of the hub lies below a folder: as the hub's own files (Parquet), as ``save_to_disk`` wrote it,
    or as a file of lines. ``folder`` may hold ``owner/name``, ``name``, or be the data set itself."""
    name, options = hub_name(text)
    config, split = options.get("config", ""), options.get("split", "train")
    owner, _, short = name.rpartition("/")
    for base in (folder / owner / short, folder / f"{owner}___{short}", folder / short, folder):
        inner = [base / config, base] if config else [base / "default", base / short, base]
        for place in (*inner, base / "data"):
            if found := _split_in(place, split, short):
                return found
    wanted = "/".join(part for part in (name, config, f"{split}.parquet") if part)
    raise DataError(
        f"{folder} holds no copy of {text}. Wanted {wanted}, or the hub's own files, as in: "
        f"hf download {name} --repo-type dataset --local-dir {folder / owner / short}"
    )


def _split_in(place: Path, split: str, short: str) -> Path | None:
    """The file, or the folder, of a split."""
    if (place / split / "state.json").is_file():
        return place / split
    shards = sorted(place.glob(f"{split}-*-of-*.parquet"))
    if len(shards) > 1:
        raise DataError(
            f"{place} holds {split} in {len(shards)} files. Join them into {place / f'{split}.parquet'} first."
        )
    ends = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
    named = [place / f"{stem}{end}" for stem in (split, f"{short}_{split}") for end in ends]
    return next((path for path in (*shards, *named) if path.is_file()), None)


FILES.add("saved")(Kind((), split, parse))
FILES.add("hub")(Kind((), split_hub, parse_hub))
