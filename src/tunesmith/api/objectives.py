"""Register a training objective of your own. It has a file of its own because it imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tunesmith.train.objective import Objective
from tunesmith.train.objectives import OBJECTIVES

AnyObjective = TypeVar("AnyObjective", bound=Objective)


def objective(name: str) -> Callable[[type[AnyObjective]], type[AnyObjective]]:
    """Register a class of ``Objective``, made without arguments: how rows become batches, and a batch a summed loss."""

    def register(kind: type[AnyObjective]) -> type[AnyObjective]:
        OBJECTIVES.add(name, kind.__module__)(kind())
        return kind

    return register
