"""The reader ``littleworld``: gives a task file the facts of a relation, or of several, in the task's language.

    reader: littleworld
    relation: capital                      or several, for a task about the form of any answer: capital, plural
    relation: landmark_country > capital   two steps: what is the capital of the home country of the Eiffel Tower?

It is registered when ``tunesmith.littleworld`` is imported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.data.reader import Key, Record, reader
from tunesmith.data.task import Task
from tunesmith.littleworld.world import chained, read
from tunesmith.types import SetAside


@reader("littleworld", {"relation": Key("text")})
def read_littleworld(task: Task) -> Iterator[Record | SetAside]:
    """A record for every fact; its group is the fact's, so that a fact is held out in all languages and tasks."""
    relations = [name.strip() for name in str(task.settings["relation"]).split(",")]
    for relation in relations:
        first, _, then = (part.strip() for part in relation.partition(">"))
        for fact in chained(first, then, task.language) if then else read(first, task.language):
            name = fact.id.partition("/")[2]
            id = name if len(relations) == 1 else f"{first}_{name}"
            yield Record(id, dict(fact.fields), fact.group, fact.source)
