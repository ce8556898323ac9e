"""What a run tells the world: one JSON line a step, trackers such as TensorBoard, a progress bar.

metrics.jsonl    a line a step
losses.jsonl     now and then: the loss of each source and cluster; of the rows kept apart, at each checkpoint
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tunesmith.core import screen
from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.train.parallel import Ranks
from tunesmith.train.trackers import TRACKERS, Tracker

POINTS = 100
"""Lines of losses by source in a run."""
SHOWN = (
    *("loss", "lr", "grad_norm", "tokens_per_second", "learned_per_second"),
    *("flops_share", "mfu", "padding", "memory_mb"),
)
"""What trackers are told of each step."""


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
    learned_per_second: float
    flops_share: float
    """Of the matrix products that this machine could have done in the time, as measured on it at the start."""
    mfu: float | None
    """The same, of what the data sheet of the GPU or CPU promises (MFU); None where it is not known."""
    memory_mb: float
    """The most that was in use: of the GPU's memory, or of the process's."""
    threads: int = 1
    """That computed the step."""


OnEvent = Callable[[StepEvent], None]


class RunLog:
    """Writes the files, feeds the trackers, calls back, and draws progress. ``silent`` does nothing of it."""

    def __init__(
        self,
        folder: Path,
        *,
        start: int,
        steps: int,
        title: str,
        progress: bool,
        on_event: OnEvent | None,
        track: Sequence[str] = (),
        groups: Mapping[str, str] | None = None,
        silent: bool = False,
    ) -> None:
        self._on_event, self._groups = on_event, groups or {}
        self._files = None if silent else [_resumed(folder / name, start) for name in ("metrics.jsonl", "losses.jsonl")]
        begun = {} if silent else {name: _begun(name, folder, start) for name in track}
        self._trackers = {name: tracker for name, tracker in begun.items() if tracker is not None}
        self._console = screen.console(stderr=True)
        self._shown = screen.progress(title, self._console) if progress else nullcontext()
        self._tell: screen.Tell | None = None
        self._marks: list[tuple[float, int, int, float]] = [(time.perf_counter(), 0, 0, 0.0)]
        self._failed = False
        self._every = max(1, steps // POINTS)
        self._sums: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> RunLog:
        self._tell = self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)
        for file in self._files or ():
            file.close()
        for name, tracker in self._trackers.items():
            with self._told(name):
                tracker.close()

    def speed(self, tokens: int, learned: int, flops: float, peak: float, sheet: float) -> dict[str, Any]:
        """Count a step, and give the rates of late. ``peak`` is what was measured, ``sheet`` the promise, or 0."""
        now = time.perf_counter()
        _, *sums = self._marks[-1]
        self._marks.append((now, *(a + b for a, b in zip(sums, (tokens, learned, flops), strict=True))))  # type: ignore[arg-type]
        while len(self._marks) > 2 and now - self._marks[1][0] > 1:
            self._marks.pop(0)
        then, now_ = self._marks[0], self._marks[-1]
        seconds = max(1e-9, now - then[0])
        return {
            "tokens_per_second": (now_[1] - then[1]) / seconds,
            "learned_per_second": (now_[2] - then[2]) / seconds,
            "flops_share": (now_[3] - then[3]) / seconds / peak,
            "mfu": (now_[3] - then[3]) / seconds / sheet if sheet else None,
        }

    def step(self, event: StepEvent) -> None:
        """Tell of one step."""
        if self._files is None:
            return
        values = asdict(event)
        line = {k: round(v, 6) if isinstance(v, float) and k != "lr" else v for k, v in values.items()}
        self._write(0, line)
        self._track({f"train/{k}": values[k] for k in SHOWN if values[k] is not None}, event.step)
        if self._tell:
            note = f"loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s"
            self._tell(event.step, event.steps, note=note)
        if self._on_event is not None:
            self._on_event(event)

    def sources(self, step: int, sums: Mapping[str, tuple[float, float]], ranks: Ranks) -> None:
        """Count the losses of the sources; a line of them a hundred times in a run. All ranks call it."""
        for name, (lost, weight) in sums.items():
            before = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = before[0] + lost, before[1] + weight
        if step % self._every:
            return
        of_source: dict[str, list[float]] = {}
        of_group: dict[str, list[float]] = {}
        for part in ranks.gather(self._sums):
            for name, (lost, weight) in part.items():
                for found in (
                    of_source.setdefault(name, [0.0, 0.0]),
                    of_group.setdefault(self._groups.get(name, name), [0.0, 0.0]),
                ):
                    found[0] += lost
                    found[1] += weight
        self._sums = {}
        if self._files is not None:
            means = [{k: round(a / b, 5) for k, (a, b) in sorted(s.items())} for s in (of_source, of_group)]
            line = {"step": step, "sources": means[0], **({"clusters": means[1]} if self._groups else {})}
            self._write(1, line)
            if self._groups:
                self._track({f"loss of cluster/{k}": v for k, v in means[1].items()}, step)

    def validated(self, step: int, loss: float) -> None:
        """Tell the loss on rows that are kept apart."""
        if self._files is not None:
            self._write(1, {"step": step, "kept_apart": round(loss, 6)})
            self._track({"loss/kept_apart": loss}, step)

    def say(self, text: str) -> None:
        """A line for the person watching, above the bar."""
        if self._files is not None:
            self._console.print(text, highlight=False)

    def _write(self, file: int, line: Mapping[str, Any]) -> None:
        """Write a line at once: what was logged of a step that a checkpoint has is there after a kill."""
        assert self._files is not None
        try:
            self._files[file].write(json.dumps(line, ensure_ascii=False) + "\n")
            self._files[file].flush()
        except OSError as error:  # a full disk costs figures, not the run
            if not self._failed:
                self.say(
                    f"{self._files[file].name} cannot be written: {error.strerror}. Figures are lost from here on."
                )
            self._failed = True

    def _track(self, values: Mapping[str, float], step: int) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._told(name):
                tracker.log(values, step)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """What goes wrong with a tracker, a lost connection say, costs its figures, not the run."""
        try:
            yield
        except Exception as error:
            self._trackers = {k: v for k, v in self._trackers.items() if k != name}
            self.say(f"{name} has failed ({_line(error)}). Training goes on without it; metrics.jsonl has all figures.")


def _begun(name: str, folder: Path, start: int) -> Tracker | None:
    try:
        return TRACKERS[name](folder, start)
    except TunesmithError:
        raise
    except Exception as error:
        raise TrainError(f"track: {name} cannot begin: {_line(error)}. Mend that, or leave it out.") from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _resumed(path: Path, start: int) -> TextIO:
    """A file of lines to go on with. A resumed run repeats the steps after its checkpoint: their lines are dropped."""
    kept = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= start:
                    kept.append(line + "\n")
            except (ValueError, KeyError):
                break
    path.write_text("".join(kept), encoding="utf-8")
    return path.open("a", encoding="utf-8")
