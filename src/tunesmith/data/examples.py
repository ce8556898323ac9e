"""From the records of a reader to the examples of a task: answers, options, ids, and what was set aside.

In go tasks; out comes a ``Read``: the examples of every task, each row that could not be used with its
reason, and how many rows there were. A field that a template or the task names, and no row has, is a
mistake in the task file and an error; a field that some rows lack costs those rows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tunesmith.data.reader import READERS, Record, Value
from tunesmith.data.task import Task
from tunesmith.data.template import fields_of
from tunesmith.data.yaml_file import near
from tunesmith.errors import DataError, counted
from tunesmith.types import Example, SetAside


@dataclass(frozen=True, slots=True)
class Read:
    """What the readers gave."""

    examples: Mapping[str, tuple[Example, ...]]
    """By task id."""
    set_aside: tuple[SetAside, ...]
    rows: int
    """How many rows the readers saw: the examples and what was set aside."""


def read(tasks: Iterable[Task]) -> Read:
    """All examples of all tasks."""
    examples: dict[str, tuple[Example, ...]] = {}
    aside: list[SetAside] = []
    problems: list[str] = []
    for task in tasks:
        records: list[Record] = []
        bad: list[SetAside] = []
        for found in READERS[task.reader].read(task):
            if isinstance(found, Record):
                records.append(found)
            else:
                bad.append(found)
        aside += bad
        wrong = _wrong_names(task, records) if records else [_nothing(task, bad)]
        problems += wrong
        if not wrong:
            examples[task.id] = _examples(task, records, aside)
    if problems:
        raise DataError("\n".join(problems))
    return Read(examples, tuple(aside), sum(map(len, examples.values())) + len(aside))


def draw_options(example: str, answers: Sequence[str], pool: Sequence[str], count: int) -> tuple[str, ...]:
    """``count`` options of which ``answers[0]`` is one, in an order that depends on the example's id alone.
    No other right answer is among them. ``pool`` is without duplicates; where it is small there are fewer."""
    right = set(answers)
    wanted = min(count - 1, len(pool) - sum(answer in right for answer in pool))
    options = [answers[0]]
    draw = 0
    # Picks by hash cost the same whether the task has ten answers or a million.
    while len(options) <= wanted and draw < 8 * count:
        option = pool[_number(f"{example}|{draw}") % len(pool)]
        draw += 1
        if option not in right and option not in options:
            options.append(option)
    start = _number(f"{example}|start") % len(pool)
    for i in range(len(pool)):  # a small pool, of which nearly everything is wanted
        if len(options) > wanted:
            break
        option = pool[(start + i) % len(pool)]
        if option not in right and option not in options:
            options.append(option)
    return tuple(sorted(options, key=lambda option: _number(f"{example}#{option}")))


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _nothing(task: Task, bad: Sequence[SetAside]) -> str:
    """That a task has no row at all, and why, as far as the reader knows."""
    why = f"; of {counted(len(bad), 'row')} set aside the first, {bad[0].source}, {bad[0].reason}" if bad else ""
    return f"{task.source}: the reader {task.reader!r} gives no usable row for task {task.id!r}{why}"


def _wrong_names(task: Task, records: Sequence[Record]) -> list[str]:
    """Names that the task file uses and that no row has."""
    known = {name for record in records for name in record.fields}
    wanted = [(name, task.source) for name in (task.answer, *task.input)]
    if isinstance(task.options, str):
        wanted.append((task.options, task.source))
    for template in task.templates:
        names = {name for turn in template.messages for name in fields_of(turn.text)}
        wanted += [(name, template.source) for name in sorted(names - {"options"})]
    return [
        f"{source}: no row of task {task.id!r} has a field {name!r}{near(name, known)}"
        for name, source in dict.fromkeys(wanted)
        if name not in known
    ]


def _examples(task: Task, records: Sequence[Record], aside: list[SetAside]) -> tuple[Example, ...]:
    kept: dict[str, tuple[Record, tuple[str, ...]]] = {}
    for record in records:
        answers = tuple(a for a in map(str.strip, _several(record.fields.get(task.answer, ()))) if a)
        twin = kept.get(record.id)
        if not answers:
            aside.append(SetAside(f"{task.id}/{record.id}", "has no answer", record.source))
        elif twin is not None:
            aside.append(
                SetAside(
                    f"{task.id}/{record.id}", f"has an id that an earlier row has: {twin[0].source}", record.source
                )
            )
        else:
            kept[record.id] = (record, answers)
    pool = sorted({answers[0] for _, answers in kept.values()})
    return tuple(
        Example(
            id=f"{task.id}/{record.id}",
            task=task.id,
            cluster=task.cluster,
            fields={
                name: _one(value, answers[0] if name == task.answer else None) for name, value in record.fields.items()
            },
            answers=answers,
            options=_options(task, record, answers, pool),
            group=record.group or f"{task.stem}/{record.id}",
            source=record.source,
        )
        for record, answers in kept.values()
    )


def _options(task: Task, record: Record, answers: tuple[str, ...], pool: Sequence[str]) -> tuple[str, ...]:
    """The options of a row; none where the row's own options lack the right answer."""
    if isinstance(task.options, int):
        return draw_options(f"{task.id}/{record.id}", answers, pool, task.options) if task.options else ()
    given = task.options if isinstance(task.options, tuple) else _several(record.fields.get(task.options, ()))
    options = tuple(dict.fromkeys(option.strip() for option in given))
    return options if answers[0] in options else ()


def _several(value: Value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _one(value: Value, answer: str | None) -> str:
    """A field as templates see it: of several answers the first, of another list its items, a line each."""
    if answer is not None:
        return answer
    return value if isinstance(value, str) else "\n".join(value)
