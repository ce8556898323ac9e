"""The readers of the little world: they give a task file the facts of its relations, in its language.

    reader: littleworld
    relation: capital                      or several, for a task about the form of any answer: capital, plural
    relation: landmark_country > capital   two steps: what is the capital of the home country of the Eiffel Tower?

    reader: littleworld_examples           with the fields good, bad and explained: examples to show before a question,
    relation: capital, currency            as Super-NaturalInstructions has them

They are registered when ``tunesmith.littleworld`` is imported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.core.types import SetAside
from tunesmith.data.readers.superni import LONGEST, show_examples
from tunesmith.data.tasks.reader import Key, Record, reader
from tunesmith.data.tasks.task import Task
from tunesmith.littleworld.world import Fact, chained, read, with_examples


@reader("littleworld", {"relation": Key("text")})
def read_littleworld(task: Task) -> Iterator[Record | SetAside]:
    """A record for every fact; its group is the fact's, so that a fact is held out in all languages and tasks."""
    relations = _relations(task)
    for relation in relations:
        first, _, then = (part.strip() for part in relation.partition(">"))
        for fact in chained(first, then, task.language) if then else read(first, task.language):
            yield _record(fact, first if len(relations) > 1 else "")


@reader("littleworld_examples", {"relation": Key("text")})
def read_with_examples(task: Task) -> Iterator[Record | SetAside]:
    """A record for every fact that is not an example itself."""
    for relation in _relations(task):
        shown = with_examples(relation, task.language)
        blocks = {
            "good": show_examples(shown.good, "", LONGEST),
            "bad": show_examples(shown.bad, "", LONGEST, "Bad example"),
            "explained": show_examples(shown.good, "", LONGEST, explained=True),
        }
        for fact in shown.asked:
            yield _record(fact, relation, blocks)


def _relations(task: Task) -> list[str]:
    return [name.strip() for name in str(task.settings["relation"]).split(",")]


def _record(fact: Fact, of: str, more: dict[str, str] | None = None) -> Record:
    name = fact.id.partition("/")[2]
    return Record(f"{of}_{name}" if of else name, {**fact.fields, **(more or {})}, fact.group, fact.source)
