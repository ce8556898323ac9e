"""The reader ``choices``: a question, its choices as a list, and which of them is right (ARC, MMLU and their like).

    reader: choices
    path: hub:allenai/ai2_arc?config=ARC-Challenge&split=test
    fields: {choices: choices.text, labels: choices.label, right: answerKey}

``right`` is a label of ``labels``, or the number of the choice, from 0 on. The fields are ``question``, ``options``
(the choices), ``answer`` (the right one), ``letters``, ``letter``, ``lettered`` (a line each: ``A. red``), and every
other column that is a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from tunesmith.data.readers.shape import digest, items, list_of, name_of, need, shown
from tunesmith.data.tasks.reader import Found, Record, Unusable, Value, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("choices", gives="records")
def choices(row: Any, task: Task) -> Iterator[Found]:
    question = need(row, "question").strip()
    options = items(row, "choices")
    if not 2 <= len(options) <= len(ascii_uppercase) or not all(isinstance(o, str) and o.strip() for o in options):
        raise Unusable(f"`choices` is {shown(options)}, wanted 2 to 26 texts")
    number = _number(row.get("right"), [str(label) for label in list_of(row, "labels")], len(options))
    letters = tuple(ascii_uppercase[: len(options)])
    others: dict[str, Value] = {key: value for key, value in row.items() if isinstance(value, str) and value.strip()}
    fields: dict[str, Value] = others | {
        "question": question,
        "options": tuple(option.strip() for option in options),
        "answer": options[number].strip(),
        "letters": letters,
        "letter": letters[number],
        "lettered": "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)),
    }
    yield Record(name_of(row, "id") or digest(question, *options), fields)


def _number(right: Any, labels: list[str], count: int) -> int:
    """Which choice is right, counted from 0."""
    if labels:
        if len(labels) != count:
            raise Unusable(f"{count} choices with {len(labels)} labels")
        if str(right) not in labels:
            raise Unusable(f"`right` is {shown(right)}, which is none of the labels {', '.join(labels)}")
        return labels.index(str(right))
    text = str(right)
    if isinstance(right, bool) or not text.isdigit() or int(text) >= count:
        raise Unusable(f"`right` is {shown(right)}, wanted the number of a choice, from 0 to {count - 1}")
    return int(text)
