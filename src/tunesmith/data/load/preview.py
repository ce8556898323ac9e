"""Looking at tasks before training on them: lists, wordings and rows, as plain values for any screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tunesmith.core.types import Comparison, Conversation, Example, SetAside
from tunesmith.data.load.examples import Read
from tunesmith.data.tasks.render import render, wordings
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Unrenderable
from tunesmith.pages import templates


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One task in a list."""

    id: str
    cluster: str
    language: str
    rows: int
    """Its examples, or its rows in words."""
    groups: int
    templates: int
    kinds: tuple[str, ...]
    """The kinds of its templates."""
    metric: str
    options: int
    """How many answers its rows offer at most."""


@dataclass(frozen=True, slots=True)
class TemplateLine:
    """One template of a task, in words and in an example's words."""

    id: str
    kind: str
    source: str
    """Its file and line."""
    turns: tuple[tuple[str, str], ...]
    """Role and Jinja source."""
    sample: Conversation | SetAside


def task_lines(tasks: Sequence[Task], found: Read) -> list[TaskLine]:
    """The tasks with their counts, by cluster."""
    lines = []
    for task in tasks:
        examples = found.examples[task.id]
        rows: tuple[Example | Conversation | Comparison, ...] = (
            *examples,
            *found.conversations.get(task.id, ()),
            *found.comparisons.get(task.id, ()),
        )
        lines.append(
            TaskLine(
                task.id,
                task.cluster,
                task.language,
                len(rows),
                len({row.group for row in rows}),
                len(task.templates),
                tuple(sorted({t.kind for t in task.templates})),
                task.metric,
                max((len(e.options) for e in examples), default=0),
            )
        )
    return sorted(lines, key=lambda line: (line.cluster, line.id))


def template_lines(task: Task, found: Read, format: str = "instruction") -> list[TemplateLine]:
    """The templates of a task, each with a row that it renders."""
    return [
        TemplateLine(
            template.id,
            template.kind,
            str(template.source),
            tuple((turn.role, turn.text) for turn in template.messages),
            sample_rows(task, found, count=1, format=format, template=template.name)[0],
        )
        for template in wordings(task, format)
    ]


def sample_rows(
    task: Task,
    found: Read,
    *,
    count: int = 3,
    format: str = "instruction",
    template: str | None = None,
    seed: int = 0,
) -> list[Conversation | SetAside]:
    """Some rows of a task, as they would be trained on; a row that cannot be rendered comes with its reason."""
    said = [*found.conversations.get(task.id, ()), *map(_best, found.comparisons.get(task.id, ()))]
    if said:
        said.sort(key=lambda row: order(seed, row.id))
        return list(said[:count])
    offered = wordings(task, format)
    if template is not None and format == "instruction":
        offered = (task.template(template),)
    pairs = [(example, wording) for wording in offered for example in found.examples[task.id]]
    pairs.sort(key=lambda pair: order(seed, f"{pair[0].id}@{pair[1].id}"))
    rows: list[Conversation | SetAside] = []
    for example, wording in pairs[:count]:
        try:
            rows.append(render(example, wording, task))
        except Unrenderable as error:
            rows.append(SetAside(f"{example.id}@{wording.id}", str(error), example.source))
    return rows


def page(task: Task, rows: Sequence[Conversation | SetAside]) -> str:
    """Rows as a page that loads nothing."""
    return templates("tunesmith.data").get_template("sample.html").render(task=task, rows=rows)


def order(seed: int, id: str) -> bytes:
    """Sorts names as the seed draws them, whatever else is there."""
    return blake2b(f"{seed}|{id}".encode(), digest_size=8).digest()


def _best(judged: Comparison) -> Conversation:
    """A comparison as the conversation that its best answer makes; the others are beside it, as options."""
    order = sorted(range(len(judged.answers)), key=lambda i: -judged.scores[i])
    others = tuple(" ".join(m.content for m in judged.answers[i]) for i in order[1:])
    return Conversation(
        (*judged.prompt, *judged.answers[order[0]]),
        judged.id,
        judged.task,
        judged.cluster,
        options=others,
        source=judged.source,
    )
