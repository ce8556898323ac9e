"""Labelled data to conversations: tasks, their templates, held-out rows, and the ledger.

tasks = load_tasks("my_tasks/")
built = build(tasks, HeldOut(clusters=("animals",), instance_fraction=0.1), seed=1)
built.train, built.held_out["cluster"], built.ledger.table(), built.proof
"""

from tunesmith.data import readers  # registers the readers of files
from tunesmith.data.builds.build import Built, Summary, build, build_to
from tunesmith.data.builds.explain import Explained, explain
from tunesmith.data.builds.few_shot import FewShot
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.builds.ledger import Ledger, Step
from tunesmith.data.builds.proof import ProofRow, SplitProof, check_split, prompt_digest
from tunesmith.data.builds.split import Split
from tunesmith.data.clean import Cleaning
from tunesmith.data.leaks.audit import Audit, without_leaks
from tunesmith.data.leaks.item import item_of
from tunesmith.data.load.detect import Detected, detect, task_of
from tunesmith.data.load.examples import Read, draw_options, read
from tunesmith.data.load.lint import Finding, lint
from tunesmith.data.load.tasks import find_task, load_tasks
from tunesmith.data.tasks.reader import READERS, Key, Reader, Record, Sign, Unusable, has, reader, row_reader
from tunesmith.data.tasks.render import FORMATS, render, wordings
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import KINDS, Template, Turn, Unrenderable

__all__ = [
    "Audit",
    "Built",
    "Cleaning",
    "Detected",
    "Explained",
    "FORMATS",
    "FewShot",
    "Finding",
    "HeldOut",
    "KINDS",
    "Key",
    "Ledger",
    "ProofRow",
    "READERS",
    "Read",
    "Reader",
    "Record",
    "Sign",
    "Split",
    "SplitProof",
    "Step",
    "Summary",
    "Task",
    "Template",
    "Turn",
    "Unrenderable",
    "Unusable",
    "build",
    "build_to",
    "check_split",
    "detect",
    "draw_options",
    "explain",
    "find_task",
    "has",
    "item_of",
    "lint",
    "load_tasks",
    "prompt_digest",
    "read",
    "reader",
    "readers",
    "render",
    "row_reader",
    "task_of",
    "without_leaks",
    "wordings",
]
