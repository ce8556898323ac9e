"""Files as rows. Importing this package registers the kinds of files that are known."""

from tunesmith.data.files import csv, json, jsonl, parquet, saved, text
from tunesmith.data.files.file import FILES, Kind, Piece, Row, files_in, kind_of, pieces, rows

__all__ = [
    "FILES",
    "Kind",
    "Piece",
    "Row",
    "csv",
    "files_in",
    "json",
    "jsonl",
    "kind_of",
    "parquet",
    "pieces",
    "rows",
    "saved",
    "text",
]
