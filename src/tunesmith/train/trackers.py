"""Where figures go while a run goes on, besides its own files. A new tracker is a class with ``log`` and ``close``.

tracker = TRACKERS["wandb"](folder, start)      None where TensorBoard is wanted but not installed
tracker.log({"train/loss": 1.2}, step)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tunesmith.core.errors import TrainError
from tunesmith.core.registry import Registry


class Tracker(Protocol):
    """Takes figures."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Some figures of one step."""

    def close(self) -> None:
        """No more will come."""


TRACKERS: Registry[Callable[[Path, int], Tracker | None]] = Registry("Tracker")


@TRACKERS.add("tensorboard")
def tensorboard(folder: Path, start: int) -> Tracker | None:
    """Event files in ``folder/tensorboard``. It is the default, so it is not missed where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return _TensorBoard(SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1, flush_secs=30))


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


@TRACKERS.add("wandb")
class _Wandb:
    """Weights & Biases. A resumed run goes on in the same chart; WANDB_* in the environment says where."""

    def __init__(self, folder: Path, start: int) -> None:
        self._run: Any = _module("wandb").init(dir=str(folder), name=_name(folder), id=_id(folder), resume="allow")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


@TRACKERS.add("trackio")
class _Trackio:
    """Trackio: charts on this machine, or in a Space of the hub."""

    def __init__(self, folder: Path, start: int) -> None:
        self._trackio = _module("trackio")
        self._trackio.init(project="tunesmith", name=f"{_name(folder)}-{_id(folder)}", resume="allow")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        self._trackio.finish()


@TRACKERS.add("mlflow")
class _MLflow:
    """MLflow, wherever MLFLOW_TRACKING_URI points."""

    def __init__(self, folder: Path, start: int) -> None:
        self._mlflow = _module("mlflow")
        place = folder / "mlflow.txt"
        known = place.read_text(encoding="utf-8").strip() if place.exists() else None
        run = self._mlflow.start_run(run_id=known, run_name=None if known else _name(folder))
        place.write_text(run.info.run_id + "\n", encoding="utf-8")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics({name.replace(" ", "_"): value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


def _module(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise TrainError(f"track: {name} is asked for, but not installed: pip install {name}") from None


def _name(folder: Path) -> str:
    """``run/stage``, as a person would call it."""
    return "-".join(folder.absolute().parts[-2:])


def _id(folder: Path) -> str:
    """The same for the same folder."""
    import hashlib

    return hashlib.blake2b(str(folder.absolute()).encode(), digest_size=6).hexdigest()
