"""The reader ``prompt_completion``: a prompt and its completion as texts, as P3 / T0, FLAN and TRL hold them.

    {"prompt", "completion"}   {"inputs_pretokenized", "targets_pretokenized"}   {"inputs", "targets"}

The token with which a tokenizer ends its texts (``<|endoftext|>``, ``</s>``) is no part of an answer, and goes.
Where rows name the template they were made with (``template``, or ``task`` and ``task_name``), that tells data set
and task: see ``tunesmith.data.p3``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.p3 import origin
from tunesmith.data.reader import Found, Sign, Unusable, row_reader
from tunesmith.data.readers.shape import ask, digest_of, maybe, need
from tunesmith.data.task import Task
from tunesmith.types import Conversation

_PAIRS = (("prompt", "completion"), ("inputs_pretokenized", "targets_pretokenized"), ("inputs", "targets"))
_ENDS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>")


def _pair(row: Any) -> tuple[str, str] | None:
    if not isinstance(row, Mapping):
        return None
    return next((p for p in _PAIRS if isinstance(row.get(p[0]), str) and isinstance(row.get(p[1]), str)), None)


SIGN = Sign(
    lambda row: _pair(row) is not None and "label" not in row, "objects with `prompt` and `completion` as texts", 2
)


@row_reader("prompt_completion", sign=SIGN)
def prompt_completion(row: Any, task: Task) -> Iterator[Found]:
    pair = _pair(row)
    if pair is None:
        prompt, completion = next((p for p in _PAIRS if isinstance(row, Mapping) and p[0] in row), _PAIRS[0])
        need(row, prompt)
        need(row, completion)
        raise Unusable(f"has no `{prompt}` and `{completion}` as texts")
    answer = need(row, pair[1])
    for end in _ENDS:
        answer = answer.removesuffix(end)
    messages = ask(need(row, pair[0]), answer.strip())
    about: dict[str, Any] = {"id": digest_of(messages)}
    if name := maybe(row, "template") or maybe(row, "task_name"):
        found = origin(name)
        about |= {
            "task": f"{found.data_set}.{task.language}",
            "template": f"{found.data_set}.{task.language}/{found.template}",
        }
        about |= {"cluster": found.cluster} if found.cluster else {}
    yield Conversation(messages, **about)
