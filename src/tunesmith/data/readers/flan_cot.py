"""The reader ``flan_cot``: FLAN's chain-of-thought sets: question, answer and rationale, parted by tabs, no header.
A line end inside a text is written as ``\\n``. The fields are ``question``, ``answer`` and ``rationale``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.data.readers.shape import digest, shown
from tunesmith.data.tasks.reader import Found, Record, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

SIGN = Sign(
    lambda row: isinstance(row, str) and row.count("\t") == 2 and not row.lower().startswith("question\t"),
    "lines of three columns without a header",
    2,
)


@row_reader("flan_cot", gives="records", sign=SIGN, kind="text")
def flan_cot(row: Any, task: Task) -> Iterator[Found]:
    if not isinstance(row, str):
        raise Unusable(f"is {shown(row)}, wanted a line")
    cells = row.split("\t")
    if len(cells) != 3:
        raise Unusable(f"has {len(cells)} columns, wanted 3")
    names = ("question", "answer", "rationale")
    fields = {name: cell.replace("\\n", "\n").strip() for name, cell in zip(names, cells, strict=True)}
    for name, text in fields.items():
        if not text:
            raise Unusable(f"has no {name}")
    yield Record(
        digest(fields["question"], fields["answer"], fields["rationale"]), fields, group=digest(fields["question"])
    )
