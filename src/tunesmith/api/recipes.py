"""Run a recipe.

done = run("quickstart", {"tune.train.steps": 50}, only=["tune"])
load(done.folder)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tunesmith.core.document import path_of
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as pipeline
from tunesmith.pipeline.run import RunResult


def run(
    name: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    only: Collection[str] | None = None,
    again: Collection[str] = (),
    progress: bool = False,
) -> RunResult:
    """Run the stages of a recipe that are not done yet: a file, or the name of a built-in one.

    ``settings`` win over the file: ``{"tune.train.lr": 1e-4, "seed": 2}``. ``only`` names the stages that are wanted,
    with what they read; ``again`` runs a stage although it is done.
    """
    found = recipe.load(name, settings)
    folder = path_of(out) if out is not None else None
    return pipeline.run(found, folder=folder, only=only, again=again, console=Console(quiet=not progress))
