"""The reader ``superni``: a task of Super-NaturalInstructions, one JSON file: definition, examples, instances.

The file is the task file: ``tunesmith data tasks -t tasks/`` takes a folder of them as it is. Its wordings are the
encodings of the paper, by what is shown before the input:

    definition                      the definition
    positive                        two positive examples
    definition_positive             both (what Tk-Instruct was trained with)
    definition_positive_negative    and two negative examples
    definition_positive_explained   the definition, and two positive examples with their explanations

An example that is the row itself is not shown, and those that would make the prompt longer than ``LONGEST`` are left
out, the last first; ``positive`` fits a row only if one is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside, Source
from tunesmith.data.files import Row, rows
from tunesmith.data.readers.shape import digest, fetch, items, list_of, name_of, need, shown
from tunesmith.data.tasks.reader import Found, Record, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Template, Turn

LONGEST = 4096
"""Characters of a prompt, about the 1,024 tokens of the paper."""
SHOWN = 2
_HEADS = {
    "definition": "{{ definition }}\n\n",
    "positive": "{{ positive }}\n\nNow do the same.\n\n",
    "definition_positive": "{{ definition }}\n\n{% if positive %}{{ positive }}\n\nNow do the same.\n\n{% endif %}",
    "definition_positive_negative": "{{ definition }}\n\n{% if positive %}{{ positive }}\n\n{% endif %}"
    "{% if negative %}{{ negative }}\n\n{% endif %}Now do it right.\n\n",
    "definition_positive_explained": "{{ definition }}\n\n{% if explained %}{{ explained }}\n\nNow do the same.\n\n"
    "{% endif %}",
}
_LANGUAGES = {"English": "en", "Chinese": "zh"}


def task_of_file(path: Path) -> Task:
    """The task that a file defines."""
    row = next(iter(rows(path)), None)
    if not isinstance(row, Row):
        raise DataError(f"{path}: {row.reason if row else 'the file is empty'}")
    value = row.value
    name = re.sub(r"[^\w+-]+", "_", path.name.split(".json")[0]) or "task"
    language = _LANGUAGES.get(_first(value, "Instruction_language"), "en")
    id = f"{name}.{language}"
    licence = _first(value, "Instance License")
    settings: dict[str, Any] = {"path": path} | ({"licence": licence} if licence else {})
    return Task(
        id=id,
        cluster=_slug(_first(value, "Categories") or "uncategorized"),
        language=language,
        name=_slug(_first(value, "Source") or name),
        reader="superni",
        templates=tuple(
            Template(
                f"{id}/{name}",
                (Turn("user", head + "Input: {{ input }}\nOutput:"), Turn("assistant", "{{ output }}")),
                "plain",
                language,
                Source(str(path)),
            )
            for name, head in _HEADS.items()
        ),
        input=("input",),
        answer="output",
        metric="rouge_l",
        settings=settings,
        source=Source(str(path)),
    )


@row_reader("superni", gives="records", sign=has("Definition", "Instances"))
def superni(row: Any, task: Task) -> Iterator[Found]:
    definition = _first(row, "Definition")
    if not definition:
        raise Unusable("has no `Definition`")
    positive, negative = _examples(row, "Positive Examples"), _examples(row, "Negative Examples")
    for i, one in enumerate(items(row, "Instances")):
        try:
            given = need(one, "input")
            outputs = fetch(one, "output")
            answers = tuple(outputs) if isinstance(outputs, list) else (outputs,)
            if not all(isinstance(answer, str) for answer in answers):
                raise Unusable(f"`output` is {shown(outputs)}, wanted texts")
            if not given.strip():
                raise Unusable("has no input")
            id = name_of(one, "id") or digest(given, *answers)
        except Unusable as error:
            yield SetAside(f"{task.id}[{i}]", str(error))
            continue
        room = LONGEST - len(definition) - len(given)
        fields: dict[str, Any] = {"definition": definition.strip(), "input": given.strip(), "output": answers}
        fields["positive"] = show_examples(positive, given, room)
        fields["explained"] = show_examples(positive, given, room, explained=True)
        fields["negative"] = show_examples(negative, given, room - len(fields["positive"]), "Bad example")
        yield Record(id, fields, group=f"{task.name}/{digest(given)}")


def _first(row: Any, key: str) -> str:
    """A text, or the first of a list of texts: the set knows both."""
    value = fetch(row, key)
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else ""


def _slug(text: str) -> str:
    return re.sub(r"[^\w+.-]+", "_", text.strip().lower()).strip("_.") or "unnamed"


def _examples(row: Any, key: str) -> list[tuple[str, str, str]]:
    """Input, output and explanation of each."""
    found = []
    for one in list_of(row, key):
        if isinstance(one, Mapping) and isinstance(one.get("input"), str) and (text := _first(one, "output")):
            found.append((one["input"].strip(), text.strip(), _first(one, "explanation").strip()))
    return found


def show_examples(
    examples: Sequence[tuple[str, str, str]], given: str, room: int, name: str = "Example", explained: bool = False
) -> str:
    """The first examples that are not the row itself, as many as fit: input, output, and why it is right or wrong."""
    blocks: list[str] = []
    for input, output, why in examples:
        if input == given.strip():
            continue
        block = f"{name} {len(blocks) + 1}\nInput: {input}\nOutput: {output}"
        block += f"\nWhy: {why}" if explained and why else ""
        if len(block) > room or len(blocks) == SHOWN:
            break
        blocks.append(block)
        room -= len(block) + 2
    return "\n\n".join(blocks)
