"""The reader ``self_instruct``: an instruction with ``instances`` of input and output, as Self-Instruct's seeds.
Every instance is a row; the instances of an instruction stay on one side of a split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.core.types import Conversation
from tunesmith.data.readers.shape import ask, fetch, items, maybe, name_of, need
from tunesmith.data.tasks.reader import Found, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("self_instruct", sign=has("instruction", "instances"))
def self_instruct(row: Any, task: Task) -> Iterator[Found]:
    id, instruction = name_of(row, "id"), need(row, "instruction")
    if not id:
        raise Unusable("has no `id`")
    name = maybe(row, "name") or id
    for i, instance in enumerate(items(row, "instances")):
        given = maybe(instance, "input")
        question = f"{instruction}\n\n{given}" if given.strip() else instruction
        tags = ("classification",) if fetch(row, "is_classification") is True else ()
        yield Conversation(ask(question, need(instance, "output")), id=f"{id}/{i}", group=f"{name}/{id}", tags=tags)
