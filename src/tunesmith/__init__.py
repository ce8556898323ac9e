"""tunesmith: from labelled data and a base language model to a model that follows instructions.

    import tunesmith as ts

    base = ts.load("hub:Qwen/Qwen3-0.6B")                  # a model with its chat format
    data = ts.build("chats.jsonl", "data/chats")           # data.train, data.held_out
    done = ts.fit(base, data, "runs/chats", steps=200)     # done.load().ask("...")
    found = ts.evaluate(data, {"base": base, "tuned": done.folder}, "runs/asked")
    found.table()

The names in ``__all__`` are the public ones; docs/python.md explains them. Each is imported when it is first used.
"""

import os as _os
import sys as _sys
import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING

from tunesmith.core import versions as _versions

if _TYPE_CHECKING:
    from tunesmith.api.data import Data, build, read, tasks
    from tunesmith.api.evaluation import Results, evaluate, results
    from tunesmith.api.extend import constraint, metric, stage, step
    from tunesmith.api.model import Model, load
    from tunesmith.api.objectives import objective
    from tunesmith.api.recipes import run
    from tunesmith.api.training import Fitted, fit, make_plan
    from tunesmith.core.errors import (
        ChatError,
        CheckpointError,
        DataError,
        EvalError,
        PluginError,
        RecipeError,
        TrainError,
        TunesmithError,
        UnknownName,
    )
    from tunesmith.core.settings import Settings
    from tunesmith.core.types import (
        Comparison,
        Completion,
        Conversation,
        Encoded,
        EncodedMany,
        Example,
        Message,
        Score,
        SetAside,
        Source,
    )
    from tunesmith.data.builds.held_out import HeldOut
    from tunesmith.data.clean.step import Step
    from tunesmith.data.tasks.reader import (
        Key,
        Record,
        Sign,
        Unusable,
        has,
        reader,
        row_reader,
    )
    from tunesmith.data.tasks.task import Task
    from tunesmith.evals.asking.suite import Suite
    from tunesmith.evals.metrics.metric import Answer
    from tunesmith.models.policy import Policy
    from tunesmith.plan import Plan, Row, TokenStore
    from tunesmith.stages.stage import From, Job, Stage
    from tunesmith.train.batch import Batch, collate
    from tunesmith.train.objective import Loss, Objective
    from tunesmith.train.settings import TrainSettings
    from tunesmith.train.trainer import Trainer

__version__ = "0.1.0"

_WHERE = {
    "api.model": ("Model", "load"),
    "api.data": ("Data", "build", "read", "tasks"),
    "api.training": ("Fitted", "fit", "make_plan"),
    "api.evaluation": ("Results", "evaluate", "results"),
    "api.recipes": ("run",),
    "api.extend": ("constraint", "metric", "stage", "step"),
    "api.objectives": ("objective",),
    "core.types": (
        "Comparison",
        "Completion",
        "Conversation",
        "Encoded",
        "EncodedMany",
        "Example",
        "Message",
        "Score",
        "SetAside",
        "Source",
    ),
    "core.settings": ("Settings",),
    "core.errors": (
        "ChatError",
        "CheckpointError",
        "DataError",
        "EvalError",
        "PluginError",
        "RecipeError",
        "TrainError",
        "TunesmithError",
        "UnknownName",
    ),
    "data.builds.held_out": ("HeldOut",),
    "data.clean.step": ("Step",),
    "data.tasks.reader": ("Key", "Record", "Sign", "Unusable", "has", "reader", "row_reader"),
    "data.tasks.task": ("Task",),
    "evals.asking.suite": ("Suite",),
    "evals.metrics.metric": ("Answer",),
    "plan": ("Plan", "Row", "TokenStore"),
    "models.policy": ("Policy",),
    "stages.stage": ("From", "Job", "Stage"),
    "train.batch": ("Batch", "collate"),
    "train.objective": ("Loss", "Objective"),
    "train.settings": ("TrainSettings",),
    "train.trainer": ("Trainer",),
}
"""The file of each public name. No name may be that of a room: ``tunesmith.train`` is a package."""
_FILE_OF = {name: file for file, names in _WHERE.items() for name in names}

__all__ = [
    "__version__",
    "Answer",
    "Batch",
    "ChatError",
    "CheckpointError",
    "Comparison",
    "Completion",
    "Conversation",
    "Data",
    "DataError",
    "Encoded",
    "EncodedMany",
    "EvalError",
    "Example",
    "Fitted",
    "From",
    "HeldOut",
    "Job",
    "Key",
    "Loss",
    "Message",
    "Model",
    "Objective",
    "Plan",
    "PluginError",
    "Policy",
    "RecipeError",
    "Record",
    "Results",
    "Row",
    "Score",
    "SetAside",
    "Settings",
    "Sign",
    "Source",
    "Stage",
    "Step",
    "Suite",
    "Task",
    "TokenStore",
    "TrainError",
    "TrainSettings",
    "Trainer",
    "TunesmithError",
    "UnknownName",
    "Unusable",
    "build",
    "collate",
    "constraint",
    "evaluate",
    "fit",
    "has",
    "load",
    "make_plan",
    "metric",
    "objective",
    "read",
    "reader",
    "results",
    "row_reader",
    "run",
    "stage",
    "step",
    "tasks",
]

if not _TYPE_CHECKING:  # a type checker knows the names from the imports above, and only these

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _FILE_OF:
            raise AttributeError(f"module 'tunesmith' has no attribute {name!r}", name=name, obj=_sys.modules[__name__])
        found = getattr(import_module(f"tunesmith.{_FILE_OF[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return __all__


# MKL then gives the same bits with any number of threads. It reads this before its first matrix product.
_os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

if _line := _versions.warning():
    _warnings.warn(_line, stacklevel=2)
