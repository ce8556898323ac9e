"""The reader ``littleworld``: gives a task file the facts of one relation, in the task's language.

    reader: littleworld
    relation: capital

It is registered when ``tunesmith.littleworld`` is imported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.data.reader import Key, Record, reader
from tunesmith.data.task import Task
from tunesmith.littleworld.world import read
from tunesmith.types import SetAside


@reader("littleworld", {"relation": Key("text")})
def read_littleworld(task: Task) -> Iterator[Record | SetAside]:
    """A record for every fact; its group is the fact's, so that both languages are held out together."""
    for fact in read(str(task.settings["relation"]), task.language):
        yield Record(fact.id.partition("/")[2], dict(fact.fields), fact.group, fact.source)
