"""The reader ``gsm8k``: worked answers that end in ``#### 42``. The fields are ``question``, ``answer`` (the number)
and ``rationale``, from which the calculator's marks (``<<48/2=24>>``) are taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.readers.shape import digest, need
from tunesmith.data.tasks.reader import Found, Record, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

SIGN = Sign(
    lambda row: isinstance(row, Mapping) and isinstance(row.get("question"), str) and "####" in str(row.get("answer")),
    "objects with a `question` and an `answer` that ends in #### and a number",
    4,
)


@row_reader("gsm8k", gives="records", sign=SIGN)
def gsm8k(row: Any, task: Task) -> Iterator[Found]:
    question, worked = need(row, "question"), need(row, "answer")
    rationale, mark, answer = worked.rpartition("####")
    if not mark or not answer.strip():
        raise Unusable("the answer does not end in #### and a number")
    fields = {
        "question": question.strip(),
        "answer": answer.strip().replace(",", ""),
        "rationale": re.sub(r"<<[^>]*>>", "", rationale).strip(),
    }
    if not fields["question"] or not fields["rationale"]:
        raise Unusable("has no question" if not fields["question"] else "has no rationale")
    yield Record(digest(question, worked), fields)
