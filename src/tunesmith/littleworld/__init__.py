"""The little world: a small set of real facts, plain text about them, and labelled tasks over them.

It is the embedded default of tunesmith. With it a newcomer can pretrain, tune and evaluate a model
in minutes, with nothing to download. The content is in YAML files next to this one:

    facts/<cluster>/<relation>.yaml     what is true, and the sentences that say so
    frames.yaml                         sentences that can state any fact
    tasks/<cluster>/<task>.<lang>.yaml  how people ask about it
    thoughts/                           tasks that take two steps, answered at once or with the thoughts shown
    examples/                           tasks with a definition, good examples and bad ones
    held_out.yaml                       what a tuned model must not have been trained on
"""

from tunesmith.littleworld.passages import passages
from tunesmith.littleworld.reader import read_littleworld, read_with_examples
from tunesmith.littleworld.world import (
    Cloze,
    Fact,
    Relation,
    Statement,
    chained,
    clozes,
    facts,
    held_out,
    read,
    relations,
    statements,
    task_files,
)

__all__ = [
    "Cloze",
    "Fact",
    "Relation",
    "Statement",
    "chained",
    "clozes",
    "facts",
    "held_out",
    "passages",
    "read",
    "read_littleworld",
    "read_with_examples",
    "relations",
    "statements",
    "task_files",
]
