"""How to read a file, from its first bytes, if its name does not say it or is wrong.

    seen = look(path)
    seen.packing, seen.encoding, seen.lone_cr, seen.kind, seen.delimiter
    seen.notes        in words, all that the name does not say: "it is compressed with gzip, ..."

If a file is read differently from what its name says, this is always reported: by ``detect``, on the screen, and in the
manifest of a build. What cannot be read for certain is an error, or rejected rows with the command that converts the
file.
"""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tunesmith.core.errors import DataError
from tunesmith.data.files.encoding import encoding_of
from tunesmith.data.files.packing import BROKEN, COMPRESSED, kind, packing_of, unpacked

SAMPLE = 1 << 20
_TOOLS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_ICONV = {"gb18030": "GB18030", "big5": "BIG5", "shift_jis": "SHIFT_JIS", "euc_jp": "EUC-JP", "euc_kr": "EUC-KR"}
_TEXT = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".txt", ".text", ".md")


@dataclass(frozen=True, slots=True)
class Looked:
    """How a file is read."""

    packing: str = ""
    """The suffix of its compression."""
    encoding: str = "utf-8"
    lone_cr: bool = False
    """Lines end in CR alone, as on old Macs."""
    kind: str = ""
    """The kind of file that it is, where its name says another one."""
    delimiter: str = ""
    """What separates columns, where it is not what the name says."""
    notes: tuple[str, ...] = ()
    """What its name does not say, in words."""


def look(path: Path) -> Looked:
    """How a file has to be read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # it is read several times, and a device may have no end
        raise DataError(f"{path} is a device or a pipe; write its content to a file first.")
    return _look(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _look(path: Path, size: int, changed: int) -> Looked:
    notes: list[str] = []
    packing = packing_of(path)
    named = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
    if packing != named:
        what = f"compressed with {_TOOLS[packing]}" if packing else "not compressed"
        notes.append(f"it is {what}, which its name does not say")
    sample = _sample(path, packing)
    suffix = kind(path)
    if suffix not in _TEXT:
        return Looked(packing, notes=tuple(notes))
    if sample.startswith(b"PAR1") and not packing:
        return Looked(kind="parquet", notes=("it is Parquet, which its name does not say",))
    _check_is_data(path, sample, suffix)
    found = encoding_of(sample)
    if found.why:
        notes.append(f"its encoding is {found.why}")
    elif not _is_utf8(sample):
        notes.append(_how_to_convert(path, found.guess))
    text = sample.decode(found.name, "replace").lstrip("\ufeff")
    lone_cr = "\r" in text and "\n" not in text
    if lone_cr:
        notes.append("its lines end in CR alone")
        text = text.replace("\r", "\n")
    real = _kind_of_json(text, suffix)
    if real:
        notes.append(f"it is {'JSON lines' if real == 'jsonl' else 'JSON, not a value a line'}: read as .{real}")
    delimiter = _delimiter(text, suffix)
    if delimiter:
        notes.append(f"its columns are separated by {delimiter!r}")
    return Looked(packing, found.name, lone_cr, real, delimiter, tuple(notes))


def _sample(path: Path, packing: str) -> bytes:
    """The beginning of the content, as far as it can be read."""
    parts: list[bytes] = []
    try:
        with unpacked(path, packing) as file:
            while sum(map(len, parts)) < SAMPLE and (part := file.read(1 << 16)):
                parts.append(part)
    except BROKEN:
        pass  # whoever reads the file says so, with the line
    return b"".join(parts)


def _check_is_data(path: Path, sample: bytes, suffix: str) -> None:
    """Refuse what is no text at all, with what to do."""
    if sample.startswith(b"PK\x03\x04"):
        if b"xl/" in sample or b"[Content_Types].xml" in sample[:100]:
            raise DataError(f"{path} is an Excel workbook. Save it as CSV (UTF-8), and name that file.")
        raise DataError(f"{path} is a zip archive. Unpack it, and name the files in it: unzip {path.name}")
    if sample.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a pointer of Git LFS, not the data. Fetch it with: git lfs pull")
    if suffix not in (".txt", ".text", ".md") and sample.lstrip()[:15].lower().startswith(
        (b"<!doctype html", b"<html")
    ):
        raise DataError(f"{path} is a web page, not data. Download the file itself.")


def _is_utf8(sample: bytes) -> bool:
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.end == len(sample)
    return True


def _how_to_convert(path: Path, guess: str) -> str:
    """What to do about text that is not UTF-8."""
    name = _ICONV.get(guess, "CP1252") if guess else "ENCODING"
    said = f"it looks like {name}" if guess else "its encoding is not known"
    packed = path.suffix.lower() in COMPRESSED
    plain = path.stem if packed else path.name
    first = "decompress it, then: " if packed else ""
    return f"it is not all UTF-8 ({said}). Convert it: {first}iconv -f {name} -t UTF-8 {plain} > utf8_{plain}"


def _kind_of_json(text: str, suffix: str) -> str:
    """``json`` for a file of JSON lines that holds an array or values over several lines; ``jsonl`` for objects, a line
    each, in a text file. Nothing where the name is right or it is not certain."""
    lines = [line for line in text[:SAMPLE].split("\n") if line.strip()]
    if suffix in (".jsonl", ".ndjson") and lines:
        first = _json(lines[0])
        if isinstance(first, list) and len(lines) == 1 and first and all(isinstance(row, dict) for row in first):
            return "json"
        if first is None and lines[0].lstrip()[:1] in ("[", "{") and _begins_json(text.lstrip()):
            return "json"
    if suffix in (".txt", ".text") and len(lines) > 1:
        return "jsonl" if all(isinstance(_json(line), dict) for line in lines[:5]) else ""
    return ""


def _begins_json(text: str) -> bool:
    """Whether a text begins with an object over several lines, or with an array whose first object is whole."""
    at = len(text) - len(text[1:].lstrip()) if text.startswith("[") else 0
    try:
        value, end = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (at > 0 or "\n" in text[:end].strip())


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _delimiter(text: str, suffix: str) -> str:
    """What separates the columns of a table whose header does not hold what it should be."""
    wanted = {".csv": ",", ".tsv": "\t", ".tab": "\t"}.get(suffix)
    lines = [line for line in text.split("\n")[:20] if line.strip()]
    if wanted is None or len(lines) < 2 or wanted in lines[0]:
        return ""
    for other in (",", ";", "\t", "|"):
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=other)]
        except csv.Error:
            continue
        if other != wanted and counts[0] > 1 and counts.count(counts[0]) >= 0.8 * len(counts):
            return other
    return ""
