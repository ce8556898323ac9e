"""Where a build keeps its rows, and how they are read again."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.types import Conversation, Level
from tunesmith.data import store


def files_written(out: Path, format: str) -> list[Path]:
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
