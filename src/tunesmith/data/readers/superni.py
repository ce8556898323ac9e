"""The reader ``superni``: a task of Super-NaturalInstructions, one JSON file: definition, examples, instances.

The file is the task file: ``tunesmith data tasks -t tasks/`` takes a folder of them as it is. Its wordings are the
encodings of the paper, by what is shown before the input:

    definition                      the definition
    positive                        two positive examples
    definition_positive             both (what Tk-Instruct was trained with)
    definition_positive_negative    and two negative examples
    definition_positive_explained   the definition, and two positive examples with their explanations

An example that is the row itself is not shown, and those that would make the prompt longer than ``LONGEST`` are left
out, the last first; ``positive`` fits a row only if one is left. ``official("default", tasks)`` is the official split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.data.files import Row, rows
from tunesmith.data.reader import Found, Record, Unusable, has, row_reader
from tunesmith.data.readers.shape import digest, fetch, items, list_of, name_of, need, shown
from tunesmith.data.split import HeldOut
from tunesmith.data.task import Task
from tunesmith.data.template import Template, Turn
from tunesmith.document import shipped
from tunesmith.errors import DataError, UnknownName
from tunesmith.types import SetAside, Source

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


class Official(NamedTuple):
    """An official split, applied to the tasks that are there."""

    tasks: tuple[Task, ...]
    """Those that it trains on or tests with."""
    held_out: HeldOut
    left_out: tuple[SetAside, ...]
    """The others, with the reason."""


def official(split: str, tasks: Sequence[Task]) -> Official:
    """The official split ``default`` or ``xlingual``. A category of which only test tasks are there is held out as a
    cluster; the other test tasks are held out one by one."""
    splits = _splits()
    if split not in splits:
        raise UnknownName("Split of Super-NaturalInstructions", split, splits)
    places = {name: place for place, names in splits[split].items() for name in names}
    found: dict[str, list[Task]] = {"train": [], "test": []}
    left: list[SetAside] = []
    for task in tasks:
        match = re.match(r"task(\d+)_", task.id)
        own = task.reader != "superni" or not match
        place = "train" if own or not match else places.get(task.stem) or places.get(str(int(match.group(1))), "none")
        if place in found:
            found[place].append(task)
        else:
            why = "excludes it" if place == "excluded" else "does not name it"
            left.append(SetAside(task.id, f"the official split {split!r} {why}", task.source))
    trained = {task.cluster for task in found["train"]}
    clusters = sorted({task.cluster for task in found["test"]} - trained)
    held = tuple(task.id for task in found["test"] if task.cluster in trained)
    return Official((*found["train"], *found["test"]), HeldOut(clusters=tuple(clusters), tasks=held), tuple(left))


@lru_cache(maxsize=1)
def _splits() -> Mapping[str, Mapping[str, frozenset[str]]]:
    return {
        split: {place: frozenset(_names(str(ranges))) for place, ranges in places.items()}
        for split, places in shipped(Path(__file__).parent / "superni_splits.yaml").items()
    }


def _names(ranges: str) -> Iterator[str]:
    """``1-3 7 task9_x`` is 1, 2, 3, 7, task9_x."""
    for part in ranges.split():
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from map(str, range(int(first), int(last or first) + 1))
        else:
            yield part


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
