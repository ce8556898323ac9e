"""Images, video and audio in rows: only text is trained on, so a row with any of them is rejected.

    in_columns(row)    a column that names files: {"images": ["1.jpg"]} of LLaMA-Factory, {"image": ...} of LLaVA
    of_part(part)      a part of a message: {"type": "image_url", ...} of OpenAI, {"type": "image"} of TRL
    in_text(text)      a mark that stands for one: "<image>Who is he?", "<|vision_start|>"

Each gives the reason to set the row aside, or nothing. The words before the colon are what is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_NOUNS = {"image": "a picture", "img": "a picture", "picture": "a picture", "video": "a video", "audio": "sound"}
_COLUMN = re.compile(r"(image|img|picture|video|audio)s?(?:_(?:path|file|byte)s?)?", re.IGNORECASE)
_PART = re.compile(r"(?:input_)?(image|img|video|audio)(?:_url|_file)?")
_FILE = (str, bytes, list, dict)
"""What can name a file or several; a number or a truth value cannot."""
_FILE_PART = frozenset(["file", "input_file", "document"])
_TOKEN = re.compile(r"<\|?(?:vision|image|img|video|audio)_?(?:start|end|pad|bos|eos|soft_token|token)\|?>")
# `<video>` and `<audio>` are tags of HTML too: marks are those that begin or end a message and are not closed.
_MARK = re.compile(r"<(image|video|audio)>")


def _reason(what: str, where: str) -> str:
    return f"holds {what}, and only text is trained on: {where}"


def in_columns(row: Any) -> str:
    """Why a row is set aside for one of its columns."""
    if not isinstance(row, Mapping):
        return ""
    for name, value in row.items():
        if value and isinstance(name, str) and (noun := _noun_of(name)) and isinstance(value, _FILE):
            return _reason(noun, f"column `{name}`")
    return ""


@lru_cache(maxsize=4096)
def _noun_of(column: str) -> str:
    """What a column of this name holds, if that is no text."""
    match = _COLUMN.fullmatch(column)
    return _NOUNS[match.group(1).lower()] if match else ""


def of_part(part: Mapping[str, Any]) -> str:
    """Why a row is set aside for a part of one of its messages."""
    kind = part.get("type")
    names = [kind] if isinstance(kind, str) else [name for name in part if isinstance(name, str)]
    for name in names:
        if match := _PART.fullmatch(name):
            return _reason(_NOUNS[match.group(1)], f"a part of a message, `{name}`")
        if name in _FILE_PART:
            return _reason("a file", f"a part of a message, `{name}`")
    return ""


def in_text(text: str) -> str:
    """Why a row is set aside for a mark in the text of a user."""
    if "<" not in text:
        return ""
    if match := _TOKEN.search(text):
        return _reason("a picture" if "audio" not in match.group() else "sound", f"the mark {match.group()}")
    bare = text.strip()
    for match in _MARK.finditer(bare):
        kind = match.group(1)
        at_edge = not _MARK.sub("", bare[: match.start()]).strip() or not _MARK.sub("", bare[match.end() :]).strip()
        if at_edge and f"</{kind}>" not in bare:
            return _reason(_NOUNS[kind], f"the mark <{kind}>")
    return ""
