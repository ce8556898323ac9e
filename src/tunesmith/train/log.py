"""What a run tells the world: one JSON line a step, TensorBoard where it is installed, a progress bar."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One optimizer step."""

    step: int
    """Counted from 1: how many steps are done."""
    steps: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    learned: int
    padding: float
    """Share of the model's work that was done for no token (only attention has any)."""
    tokens_per_second: float
    """Over the last second or so."""


OnEvent = Callable[[StepEvent], None]


class RunLog:
    """Writes metrics.jsonl (and TensorBoard events), calls back, and draws progress."""

    def __init__(
        self, folder: Path, *, start: int, steps: int, title: str, progress: bool, on_event: OnEvent | None
    ) -> None:
        self._on_event = on_event
        path = folder / "metrics.jsonl"
        # A resumed run repeats the steps after its checkpoint: what was logged of them is dropped.
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= start:
                        kept.append(line + "\n")
                except (ValueError, KeyError):
                    break
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = _tensorboard(folder, start)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("loss {task.fields[loss]} | {task.fields[rate]} tok/s | left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=2,
            disable=not progress,
        )
        self._bar = self._progress.add_task(title, total=steps, completed=start, loss="-", rate="-")
        self._marks: list[tuple[float, int]] = [(time.perf_counter(), 0)]
        self._tokens = 0

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def rate(self, tokens: int) -> float:
        """Count tokens and give the recent tokens per second."""
        now = time.perf_counter()
        self._tokens += tokens
        self._marks.append((now, self._tokens))
        while len(self._marks) > 2 and now - self._marks[1][0] > 1:
            self._marks.pop(0)
        then, before = self._marks[0]
        return (self._tokens - before) / max(1e-9, now - then)

    def step(self, event: StepEvent) -> None:
        values = asdict(event)
        line = {k: round(v, 6) if isinstance(v, float) and k != "lr" else v for k, v in values.items()}
        self._file.write(json.dumps(line) + "\n")
        if event.step % 20 == 0 or event.step == event.steps:
            self._file.flush()
        if self._board is not None:
            for key in ("loss", "lr", "grad_norm", "tokens_per_second"):
                self._board.add_scalar(f"train/{key}", values[key], event.step)
        self._progress.update(
            self._bar, completed=event.step, loss=f"{event.loss:.3f}", rate=f"{event.tokens_per_second:,.0f}"
        )
        if self._on_event is not None:
            self._on_event(event)

    def say(self, text: str) -> None:
        """A line for the person watching, above the bar."""
        self._progress.console.print(text, highlight=False)


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1, flush_secs=30)
