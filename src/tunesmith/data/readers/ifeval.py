"""The reader ``ifeval``: a prompt and the constraints that its answer has to keep (``instruction_id_list``,
``kwargs``). There is no right answer to learn; rows are for asking, and their metric is ``constraints``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.core.types import Conversation, Message
from tunesmith.data.readers.shape import digest, items, name_of, need
from tunesmith.data.tasks.reader import Found, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("ifeval", sign=has("prompt", "instruction_id_list", "kwargs", weight=4))
def ifeval(row: Any, task: Task) -> Iterator[Found]:
    prompt, names, arguments = need(row, "prompt"), items(row, "instruction_id_list"), items(row, "kwargs")
    if len(names) != len(arguments) or not names:
        raise Unusable(f"{len(names)} constraints with {len(arguments)} sets of arguments")
    if not all(isinstance(name, str) for name in names):
        raise Unusable("`instruction_id_list` holds something that is no text")
    if not all(isinstance(one, dict | None) for one in arguments):
        raise Unusable("`kwargs` holds something that is no object")
    checks = tuple(
        {**{k: v for k, v in (given or {}).items() if v is not None}, "id": name}
        for name, given in zip(names, arguments, strict=True)
    )
    id = name_of(row, "key") or digest(prompt)
    yield Conversation((Message("user", prompt),), id=id, checks=checks, metric="constraints")
