"""The reader ``hellaswag``: the beginning of a story and four ends, as lm-evaluation-harness prepares them.

The marks that the pages of WikiHow have left (``[title]``) are taken out. The fields are ``query``, ``options``
and ``answer``. The rows of the test split have no label, and are set aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tunesmith.data.readers.shape import digest, items, maybe, need
from tunesmith.data.tasks.reader import Found, Record, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("hellaswag", gives="records", sign=has("ctx_a", "ctx_b", "endings", weight=4))
def hellaswag(row: Any, task: Task) -> Iterator[Found]:
    endings = items(row, "endings")
    if not all(isinstance(end, str) for end in endings):
        raise Unusable("`endings` holds something that is no text")
    label = str(row.get("label", ""))
    if not label.isdigit() or int(label) >= len(endings):
        raise Unusable("has no label that names one of its endings")
    context = f"{need(row, 'ctx_a')} {maybe(row, 'ctx_b').capitalize()}"
    query = plain(f"{need(row, 'activity_label')}: {context}")
    options = tuple(plain(end) for end in endings)
    id = digest(query, *options)
    yield Record(id, {"query": query, "options": options, "answer": options[int(label)]}, maybe(row, "source_id"))


def plain(text: str) -> str:
    """A text without the marks of WikiHow's pages."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")
