"""Render an example with one of its task's templates.

render(example, template, task)          Example -> Conversation
wordings(task, "instruction")            the templates of a task, in one format
"""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.core.errors import DataError
from tunesmith.core.types import Conversation, Example, Message
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Template, Turn

FORMATS = ("instruction", "name", "none")
"""How a task is put: as an instruction, by its data set's name, or as bare input (the ablation of FLAN)."""
BARE = "format:"
"""How the ids of the templates of the bare formats begin; task files cannot use the colon."""


def wordings(task: Task, format: str = "instruction") -> tuple[Template, ...]:
    """The templates of a task in one format. The bare formats have a single one: the input fields, a line
    each, with or without the data set's name. Its target is that of the task's first plain template."""
    if format == "instruction":
        return task.templates
    if format not in FORMATS:
        raise DataError(f"Format {format!r} is not known. Known: {', '.join(FORMATS)}.")
    bare = "\n".join(_show(name) for name in task.input)
    words = {"none": bare, "name": f"{task.cluster}/{task.name}: {bare}"}[format]
    target = next((t.target for t in task.templates if t.kind == "plain"), _show(task.answer))
    messages = (Turn("user", words), Turn("assistant", target))
    return (Template(f"{task.id}/{BARE}{format}", messages, "plain", task.language, task.source),)


def render(example: Example, template: Template, task: Task, shots: Sequence[Example] = ()) -> Conversation:
    """Put an example into the words of a template. ``shots`` are other examples of the task, already
    answered, that stand before it as turns of the conversation."""
    said = template.put(example, task.answer)
    messages = said.messages
    if shots:
        messages = _with_shots(messages, [template.put(shot, task.answer).messages for shot in shots])
    return Conversation(
        messages=messages,
        id=f"{example.id}@{template.id}",
        task=task.id,
        cluster=task.cluster,
        template=template.id,
        answers=said.answers,
        options=said.options,
        metric=task.metric,
        language=template.language,
        group=example.group,
        licence=str(task.settings.get("licence", "")),
        source=example.source,
    )


def _show(field: str) -> str:
    return "{{ " + field + " }}"


def _with_shots(messages: tuple[Message, ...], shots: list[tuple[Message, ...]]) -> tuple[Message, ...]:
    """The system message, if any, is said once; then the answered examples; then the question."""
    first = 1 if messages[0].role == "system" else 0
    turns = [message for shot in shots for message in shot[first:]]
    return (*messages[:first], *turns, *messages[first:])
