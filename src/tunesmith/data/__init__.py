"""Labelled data to conversations: tasks, their wordings, what is held out, and the books.

tasks = load_tasks("my_tasks/")
built = build(tasks, HeldOut(clusters=("animals",), instance_fraction=0.1), seed=1)
built.train, built.held_out["cluster"], built.ledger.table(), built.proof
"""

from tunesmith.data import readers  # registers the readers of files
from tunesmith.data.build import Built, build
from tunesmith.data.examples import Read, draw_options, read
from tunesmith.data.ledger import Ledger, Step
from tunesmith.data.reader import READERS, Key, Reader, Record, reader
from tunesmith.data.split import HeldOut, ProofRow, Split, SplitProof, check_split, prompt_digest
from tunesmith.data.task import Task, find_task, load_tasks
from tunesmith.data.template import FORMATS, KINDS, Template, Turn, Unrenderable, render, wordings

__all__ = [
    "FORMATS",
    "KINDS",
    "READERS",
    "Built",
    "HeldOut",
    "Key",
    "Ledger",
    "ProofRow",
    "Read",
    "Reader",
    "Record",
    "Split",
    "SplitProof",
    "Step",
    "Task",
    "Template",
    "Turn",
    "Unrenderable",
    "build",
    "check_split",
    "draw_options",
    "find_task",
    "load_tasks",
    "prompt_digest",
    "read",
    "reader",
    "readers",
    "render",
    "wordings",
]
