"""The reader ``prompt_completion``: a prompt and its completion, as P3 / T0, FLAN and TRL hold them.

    {"prompt", "completion"}   {"inputs_pretokenized", "targets_pretokenized"}   {"inputs", "targets"}   texts
    {"question", "answer"}   {"instruction", "response"}   {"问题", "答案"} ...                             ``pairs``
    {"prompt": [{role, content}], "completion": [{role, content}]}                                       messages

The token with which a tokenizer ends its texts (``<|endoftext|>``, ``</s>``) is no part of an answer, and goes.
Where rows name the template they were made with (``template``, or ``task`` and ``task_name``), that tells data set
and task: see ``tunesmith.data.readers.p3``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.core.types import Conversation
from tunesmith.data.readers.openai import messages_of
from tunesmith.data.readers.p3 import origin
from tunesmith.data.readers.pairs import SURE, columns_of, pair_of, system_of
from tunesmith.data.readers.shape import ask, conversation, digest_of, items, maybe, need, tools
from tunesmith.data.tasks.reader import Found, Sign, row_reader
from tunesmith.data.tasks.task import Task

_ENDS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>")


def _talks(row: Any) -> bool:
    """Whether prompt and completion are messages, as TRL's conversational form has them."""
    if not isinstance(row, Mapping):
        return False
    return all(isinstance(row.get(key), list) and row[key] for key in ("prompt", "completion"))


def _fits(row: Any) -> bool:
    return (pair_of(row) is not None or _talks(row)) and "label" not in row and "instruction" not in row


SIGN = Sign(_fits, "objects with a question and its answer, such as `prompt` and `completion`", 2)


@row_reader("prompt_completion", sign=SIGN)
def prompt_completion(row: Any, task: Task) -> Iterator[Found]:
    if _talks(row):
        yield conversation(messages_of([*items(row, "prompt"), *items(row, "completion")]), tools(row))
        return
    pair = (columns_of(row) if isinstance(row, Mapping) else None) or SURE[0]
    answer = need(row, pair[1])
    for end in _ENDS:
        answer = answer.removesuffix(end)
    system = system_of(row)
    messages = ask(need(row, pair[0]), answer.strip(), maybe(row, system) if system else "")
    about: dict[str, Any] = {"id": digest_of(messages)}
    if pair in SURE and (name := maybe(row, "template") or maybe(row, "task_name")):
        found = origin(name)
        about |= {
            "task": f"{found.data_set}.{task.language}",
            "template": f"{found.data_set}.{task.language}/{found.template}",
        }
        about |= {"cluster": found.cluster} if found.cluster else {}
    yield Conversation(messages, **about)
