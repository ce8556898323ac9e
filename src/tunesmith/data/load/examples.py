"""From the records of a reader to the examples of a task: answers, options, ids, and rejected rows.

In go tasks; out comes a ``Read``: the examples of every task, or its rows in words, each row that could not be used
with its reason, and how many rows there were. A field that a template or the task names, and no row has, is a
mistake in the task file and an error; a field that some rows lack costs those rows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypeVar

from tunesmith.core.errors import DataError, counted, near
from tunesmith.core.types import Comparison, Conversation, Example, SetAside
from tunesmith.data.tasks.reader import READERS, Record, Value
from tunesmith.data.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Read:
    """What the readers gave."""

    examples: Mapping[str, tuple[Example, ...]]
    """By task id."""
    set_aside: tuple[SetAside, ...]
    rows: int
    """How many rows the readers saw: all of these together."""
    conversations: Mapping[str, tuple[Conversation, ...]] = field(default_factory=dict)
    """Rows that are in words already, by the id of the task that read them."""
    comparisons: Mapping[str, tuple[Comparison, ...]] = field(default_factory=dict)
    """Judged answers, by the id of the task that read them."""


def read(tasks: Iterable[Task]) -> Read:
    """All examples of all tasks."""
    examples: dict[str, tuple[Example, ...]] = {}
    conversations: dict[str, tuple[Conversation, ...]] = {}
    comparisons: dict[str, tuple[Comparison, ...]] = {}
    aside: list[SetAside] = []
    problems: list[str] = []
    for task in tasks:
        records: list[Record] = []
        said: list[Conversation] = []
        judged: list[Comparison] = []
        bad: list[SetAside] = []
        for found in READERS[task.reader].read(task):
            if isinstance(found, Record):
                records.append(found)
            elif isinstance(found, Conversation):
                said.append(found)
            elif isinstance(found, Comparison):
                judged.append(found)
            else:
                bad.append(found)
        aside += bad
        if not records and not said and not judged:
            problems.append(nothing(task, bad))
            continue
        wrong = _wrong_names(task, records) if records else []
        problems += wrong
        examples[task.id] = _examples(task, records, aside) if not wrong else ()
        conversations[task.id] = tuple(_unique(task, (placed(task, row) for row in said), aside))
        comparisons[task.id] = tuple(_unique(task, (placed(task, row) for row in judged), aside))
    if problems:
        raise DataError("\n".join(problems))
    kinds: tuple[Mapping[str, tuple[object, ...]], ...] = (examples, conversations, comparisons)
    count = sum(len(rows) for kind in kinds for rows in kind.values())
    return Read(examples, tuple(aside), count + len(aside), conversations, comparisons)


Said = TypeVar("Said", bound=Conversation | Comparison)


def placed(task: Task, row: Said) -> Said:
    """A row in words with the names that its task gives it; what the row says of itself stands."""
    own = row.task or task.id
    language = row.language if row.language != "en" else task.language
    prompt = row.prompt[0].content if row.prompt else ""
    asked = next((m.content for m in row.prompt if m.role == "user"), prompt)
    about: dict[str, Any] = {
        "id": f"{task.id}/{row.id}",
        "task": own,
        "cluster": row.cluster or task.cluster,
        "language": language,
        "group": f"{task.stem}/{row.group or _digest(asked)}",
        "licence": row.licence or str(task.settings.get("licence", "")),
    }
    if isinstance(row, Conversation):
        template = row.template or f"{own}/{AS_IS}"
        about |= {"id": f"{task.id}/{row.id}@{template}", "template": template}
        about |= {"metric": row.metric if row.metric != "exact_match" else task.metric}
        about |= {"answers": row.answers or tuple(m.content for m in row.messages[-1:] if m.role == "assistant")}
    return replace(row, **about)


AS_IS = "as_is"
"""The wording of a row that is in words already."""


def _unique(task: Task, rows: Iterable[Said], aside: list[SetAside]) -> Iterable[Said]:
    first: dict[str, Said] = {}
    for row in rows:
        twin = first.setdefault(row.id, row)
        if twin is row:
            yield row
        else:
            aside.append(SetAside(row.id, f"is an earlier row again: {twin.source}", row.source))


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


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


def nothing(task: Task, bad: Sequence[SetAside], count: int | None = None) -> str:
    """That a task has no row at all, and why, as far as the reader knows. ``count`` is how many bad ones there are,
    where not all of them are given."""
    number = len(bad) if count is None else count
    why = f"; of {counted(number, 'row')} set aside the first, {bad[0].source}, {bad[0].reason}" if bad else ""
    return f"{task.source}: the reader {task.reader!r} gives no usable row for task {task.id!r}{why}"


def _wrong_names(task: Task, records: Sequence[Record]) -> list[str]:
    """Names that the task file uses and that no row has."""
    known = {name for record in records for name in record.fields}
    wanted = [(name, task.source) for name in (task.answer, *task.input) if name]
    if isinstance(task.options, str):
        wanted.append((task.options, task.source))
    for template in task.templates if not task.borrows else ():
        wanted += [(name, template.source) for name in sorted(template.fields())]
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
        reason = _unwanted(task, record, answers)
        if not reason and twin is not None:
            reason = f"has an id that an earlier row has: {twin[0].source}"
        if reason:
            aside.append(SetAside(f"{task.id}/{record.id}", reason, record.source))
        else:
            kept[record.id] = (record, tuple(task.words.get(answer, answer) for answer in answers))
    if task.limit and len(kept) > task.limit:
        chosen = set(sorted(kept, key=lambda id: _number(f"{task.id}/{id}"))[: task.limit])
        reason = f"is not among the {task.limit} examples taken"
        aside += [SetAside(f"{task.id}/{id}", reason, kept[id][0].source) for id in kept if id not in chosen]
        kept = {id: found for id, found in kept.items() if id in chosen}
    pool = sorted({answers[0] for _, answers in kept.values() if answers})
    return tuple(
        Example(
            id=f"{task.id}/{record.id}",
            task=task.id,
            cluster=task.cluster,
            fields={
                name: _one(value, answers[0] if name == task.answer else None) for name, value in record.fields.items()
            },
            answers=answers,
            options=_options(task, record, answers, pool) if answers else (),
            group=record.group or f"{task.stem}/{record.id}",
            source=record.source,
            raw=record.raw,
        )
        for record, answers in kept.values()
    )


def _unwanted(task: Task, record: Record, answers: tuple[str, ...]) -> str:
    """Why a row is no example of its task, if it is none."""
    for name, value in task.only.items():
        if record.fields.get(name) != value:
            return f"is left out by the task's `only`: {name} is not {value!r}"
    if not answers and task.answer:
        return "has no answer"
    unknown = [answer for answer in answers if task.words and answer not in task.words]
    return f"has an answer that is not among the task's `words`: {unknown[0]!r}" if unknown else ""


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
