"""How the other processes of a recipe's run take part.

Stages are run by the first process alone: it reads, builds and asks. Where it wants something trained it writes down
the call, and the others, who look for such files, make the same call and meet it there. So nobody waits in a
collective while data are prepared, however long that takes.

    runs/<name>/.calls/<token>/0.json, 1.json, ..., end
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.core.errors import TrainError
from tunesmith.core.whole import write_json
from tunesmith.train.torchrun import rank, size

_LOOK = 0.1
"""Seconds between looks."""


class Calls:
    """What the first process wants trained, for the others to read."""

    def __init__(self, folder: Path) -> None:
        from tunesmith.train.parallel import Ranks

        above = folder / ".calls"

        def token() -> str:
            shutil.rmtree(above, ignore_errors=True)  # of a run that was killed
            return f"{time.time_ns():x}"

        self._folder = above / Ranks.join().told(token)
        self._count = 0

    def make(self, arguments: Mapping[str, Any]) -> None:
        """Let the others make this call of ``train``."""
        write_json(self._folder / f"{self._count}.json", dict(arguments))
        self._count += 1

    def end(self) -> None:
        """No more calls will come."""
        write_json(self._folder / "end", {})

    def follow(self) -> None:
        """Make every call, until there are no more."""
        from tunesmith.plan import TokenStore
        from tunesmith.train.loop import train
        from tunesmith.train.settings import TrainSettings

        while True:
            call = self._folder / f"{self._count}.json"
            if call.exists():
                self._count += 1
                values = json.loads(call.read_text(encoding="utf-8"))
                values["sources"] = {name: TokenStore.open(folder) for name, folder in values["sources"].items()}
                values["settings"] = TrainSettings.model_validate(values["settings"])
                train(**values, progress=False)
            elif (self._folder / "end").exists():
                return
            else:
                time.sleep(_LOOK)


def many() -> bool:
    """Whether this run has several processes."""
    return size() > 1


def leads() -> bool:
    """Whether this is the process that runs the stages."""
    return rank() == 0


def folder_of(store: Any) -> str:
    """Where a store lies; one that is in memory alone cannot be shared."""
    if store.folder is None:
        raise TrainError("Rows that are not on disk cannot be trained on by several processes.")
    return str(store.folder)
