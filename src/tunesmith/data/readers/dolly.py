"""The reader ``dolly``: Databricks' set, written by people: ``instruction``, ``context``, ``response``, ``category``
(also with the names of Alpaca). Each category is a task of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.core.types import Conversation
from tunesmith.data.readers.shape import ask, digest_of, fetch, first_of, maybe, need
from tunesmith.data.tasks.reader import Found, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("dolly", sign=has("instruction", "category", any_of=("response", "output"), weight=4))
def dolly(row: Any, task: Task) -> Iterator[Found]:
    context = maybe(row, "context") if fetch(row, "context") is not None else maybe(row, "input")
    instruction = need(row, "instruction")
    question = f"{instruction}\n\n{context}" if context.strip() else instruction
    messages = ask(question, first_of(row, "response", "output"))
    category = need(row, "category")
    id = digest_of(messages, category)
    yield Conversation(messages, id=id, task=f"{task.stem}.{category}.{task.language}")
