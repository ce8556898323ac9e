"""Register what is your own: decorators that give it a name, under which task files and recipes find it.

@metric("short")
def short(answer: Answer, row: Conversation) -> float:
    return float(len(answer.text) < 20)

Readers register with ``reader`` and ``row_reader``, which are those of ``data.tasks.reader``. To share what you have
written, make it a plug-in (``core/plugins.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tunesmith.data.clean.step import STEPS, Step
from tunesmith.evals.constraints import CHECKS
from tunesmith.evals.constraints.check import Check
from tunesmith.evals.metrics import METRICS, Metric
from tunesmith.stages import KINDS, Stage

AnyMetric = TypeVar("AnyMetric", bound=Metric)
AnyCheck = TypeVar("AnyCheck", bound=Check)
AnyStep = TypeVar("AnyStep", bound=Step)
AnyStage = TypeVar("AnyStage", bound=Stage)


def metric(name: str) -> Callable[[AnyMetric], AnyMetric]:
    """Register a function of an ``Answer`` and its ``Conversation`` that gives a figure from 0 to 1."""
    return METRICS.add(name)  # type: ignore[return-value]


def constraint(name: str) -> Callable[[AnyCheck], AnyCheck]:
    """Register a check of a text's form: ``check(text, *, zh, **arguments) -> bool``."""
    return CHECKS.add(name)  # type: ignore[return-value]


def step(name: str) -> Callable[[type[AnyStep]], type[AnyStep]]:
    """Register a step of cleaning, a class of ``Step``."""
    return STEPS.add(name)  # type: ignore[return-value]


def stage(kind: str) -> Callable[[type[AnyStage]], type[AnyStage]]:
    """Register a kind of stage for recipes, a class of ``Stage``."""
    return KINDS.add(kind)  # type: ignore[return-value]
