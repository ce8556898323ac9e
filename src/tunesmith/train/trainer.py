"""A training run that can be opened, stepped, saved and finished.

    with Trainer(model, "sft", sources, shares, settings, out_dir) as run:
        while not run.done:
            run.step()
        result = run.finish()

    step: rows = plan.batch(step) -> batches -> sum of losses / weight of the whole batch -> clip -> step

It knows no objective by name and never sees text. Everything random follows from (seed, step), so a run
that was killed goes on to the same weights, bit for bit, on the same machine, however busy that is (see threads.py).
"""

from __future__ import annotations

import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from transformers import PreTrainedModel

from tunesmith.core.errors import CheckpointError, NonFiniteLoss, TrainError
from tunesmith.core.lock import run_lock
from tunesmith.core.malloc import keep_freed_memory
from tunesmith.models.load import ModelSource, public_name
from tunesmith.plan import Item, Row, TokenStore, seed_of
from tunesmith.train import checkpoint, watch
from tunesmith.train.accumulate import Accumulated, accumulate
from tunesmith.train.assemble import Machine, assemble
from tunesmith.train.batch import Batch
from tunesmith.train.epochs import in_steps
from tunesmith.train.flops import memory_mb, peak_flops, sheet_flops
from tunesmith.train.identity import (
    TrainResult,
    digest,
    identity,
    precision_of,
    read_result,
    same_run,
    write_result,
)
from tunesmith.train.log import OnEvent, RunLog, StepEvent
from tunesmith.train.nonfinite import blame
from tunesmith.train.objective import loss_of
from tunesmith.train.objectives import OBJECTIVES
from tunesmith.train.optim import compute_dtype, rate_at
from tunesmith.train.parallel import Ranks, ranks_lost_are_told
from tunesmith.train.planned import planned
from tunesmith.train.recompute import compute_again
from tunesmith.train.settings import TrainSettings
from tunesmith.train.threads import Threads, another, threads_of
from tunesmith.train.validation import Best, validate

TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 16384}
"""Tokens in one forward pass where the settings leave it open."""
LARGE = 50_000_000
"""On a CPU, a model of so many parameters gets half as many: it is as fast, and keeps half as much."""
SPIKE, SPIKE_AFTER = 2.0, 20
"""A loss this many times the mean of so many steps before it is a spike."""


OnSave = Callable[[int, PreTrainedModel, Callable[[str], None]], None]
"""Called at each checkpoint of a model that is whole, with the step, the model, and a way to say a line."""


class Trainer:
    """A run on one rank. Opened on a folder that holds a part of the same run, it goes on from the newest checkpoint.

    ``result`` is set where the run was finished before; there is nothing to step then.
    """

    def __init__(
        self,
        model: ModelSource,
        objective: str,
        sources: Mapping[str, TokenStore],
        shares: Mapping[str, float],
        settings: TrainSettings,
        out_dir: str | Path,
        *,
        tokenizer_dir: str | Path | None = None,
        stop_ids: Sequence[int] = (),
        new_ids: Sequence[int] = (),
        groups: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        on_save: OnSave | None = None,
        progress: bool = True,
    ) -> None:
        keep_freed_memory()
        self.settings = settings = in_steps(settings, objective, sources, shares)
        self.out = Path(out_dir)
        self.model = model
        self.sources, self.shares = sources, shares
        self.goal = OBJECTIVES[objective]
        self.ranks = Ranks.join()
        self.stop_ids = stop_ids
        self._on_save = on_save
        self.tokenizer_dir = tokenizer_dir
        if tokenizer_dir is None and isinstance(model, str | Path) and Path(model).is_dir():
            self.tokenizer_dir = model
        self._lock, self._held = ExitStack(), ExitStack()
        try:
            self._lock.enter_context(run_lock(self.out) if self.ranks.first else nullcontext())
            self._plan()
            dtype, about = self._identity(objective, new_ids)
            self.result = self.ranks.told(lambda: read_result(self.out))
            if self.result is None:
                self._load(dtype, about, new_ids)
                self._start(objective, groups or {}, on_event, progress)
        except BaseException:
            self._held.close()
            self._lock.close()
            raise

    # -- opening -------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Which rows are learned from, in which order, and which are kept apart for validation."""
        found = planned(self.goal, self.sources, self.shares, self.settings)
        self.plan, self._usable = found.plan, found.usable
        self._valid = [Item(name, int(i)) for name, mask in found.held_back.items() for i in np.flatnonzero(mask)]

    def _identity(self, objective: str, new_ids: Sequence[int]) -> tuple[torch.dtype, dict[str, Any]]:
        """The precision, and what makes this run the one that it is; another one in the folder is refused."""
        # A run goes on in the precision that it was begun in, also where the machine seems to be another.
        asked = self.settings.precision
        if asked == "auto":
            asked = self.ranks.told(lambda: precision_of(self.out) or asked)
        dtype = self.ranks.told(lambda: compute_dtype(asked, self.ranks.device))
        about = identity(self.model, objective, self.sources, self.shares, self.settings, dtype)
        if new_ids:
            about["new_ids"] = sorted(map(int, new_ids))
        self.ranks.told(lambda: same_run(self.out, about))
        return dtype, about

    def _load(self, dtype: torch.dtype, about: Mapping[str, Any], new_ids: Sequence[int]) -> None:
        """The model, its optimizer, and what the newest checkpoint knows."""
        self._dtype, self._run = dtype, digest(about)
        self.machine = assemble(self.model, self.settings, self.ranks, dtype, new_ids)
        net: Any = self.machine.policy.model
        _known(net, self.sources, self.shares)
        self._notes = []
        if self.machine.policy.why:
            how = (
                "computes attention without its fast kernels"
                if self.machine.policy.packs
                else "is trained document beside document and not packed, which costs padding"
            )
            self._notes.append(f"{type(net).__name__} {how}: {self.machine.policy.why}")
        found = _resume(self.out / "checkpoints", self._run, self.machine, self._notes)
        self.begun, self.history, self.best, self._state = found
        self.at = self.begun
        """Steps that are done."""
        self._enough = self._no_better()
        net.train()
        self._at_once = self.settings.tokens_at_once or tokens_at_once(net, self.ranks.device)
        self._passes = max(1, -(-round(self.settings.batch_tokens / self._at_once) // self.ranks.size))
        if not self.done:
            parts = _cut(self._items(self.at), 8 * self.ranks.size * self._passes, self.sources)[:1]
            small = self.goal.batch(parts, self.sources, self.ranks.device)
            self._notes += compute_again(
                self.settings.recompute,
                self.machine,
                lambda: loss_of(self.machine.policy, self.goal, small).total,
                self._at_once / small.tokens,
            )

    def _start(self, objective: str, groups: Mapping[str, str], on_event: OnEvent | None, progress: bool) -> None:
        """Open the log, and choose how many threads compute."""
        self._tokens = 0
        self._work = self._idle = 0.0
        self._drawn = dict.fromkeys(self.sources, 0)
        self.log = RunLog(
            self.out,
            start=self.at,
            steps=self.settings.steps,
            title=objective,
            progress=progress and self.ranks.first,
            on_event=on_event,
            track=self.settings.track,
            groups=groups,
            silent=not self.ranks.first,
        )
        weights = self.machine.weights
        self._saver = checkpoint.Saver(self.out / "checkpoints", self.ranks, divided=weights.divided, say=self.log.say)
        self._held.enter_context(self.log)
        self._stopped = self._held.enter_context(_stop_after_step())
        for note in self._notes:
            self.log.say(note)
        self._threads: Threads = self._held.enter_context(
            threads_of(self.ranks, None if self.done else self._try_out, self.log.say, self._state)
        )
        weights.grad.zero_()
        torch.set_num_threads(self._threads.most)
        self._peak = self.ranks.size * peak_flops(self.ranks.device, self._dtype)
        sheet = sheet_flops(self.ranks.device, self._dtype, self._threads.most)
        self._sheet = self.ranks.size * (sheet or 0.0)
        torch.set_num_threads(self._threads.now)
        self._began = time.perf_counter()

    def _try_out(self) -> torch.Tensor:
        """The gradient of a part of the first batch: how long it takes, and with which bits."""
        weights = self.machine.weights
        weights.grad.zero_()
        torch.manual_seed(0)
        batch = self.goal.batch(
            _cut(self._items(self.at), self._passes, self.sources)[:1], self.sources, self.ranks.device
        )
        (loss_of(self.machine.policy, self.goal, batch).total / self.goal.weight(batch)).backward()  # type: ignore[no-untyped-call]
        return weights.grad

    def _items(self, step: int) -> list[Item]:
        return [item for row in self.plan.batch(step) for item in row]

    # -- training ------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether all steps have been taken, or so many that more are of no use."""
        return self.result is not None or self._enough or self.at >= self.settings.steps

    def _no_better(self) -> bool:
        """Whether the last ``patience`` checkpoints had no lower loss on the rows kept apart."""
        patience = self.settings.patience * self.settings.save_every
        return bool(patience) and self.at - self.best.step >= patience

    def step(self) -> StepEvent:
        """Take the next step. After the last one, after ``save_every`` more, and on SIGTERM or Ctrl-C all is saved;
        a signal then ends the process as usual."""
        settings, ranks, step = self.settings, self.ranks, self.at
        watch.at(f"step {step + 1}")
        lr = rate_at(step, settings.steps, settings.lr, settings.warmup, settings.decay, settings.schedule)
        torch.manual_seed(seed_of(settings.seed, "step", step, *[ranks.rank] * bool(ranks.rank)))
        rows = self.plan.batch(step)
        items = [item for row in rows for item in row]
        began = time.perf_counter()
        done, norm, batches = self._gradient(step, rows, items)
        self._saver.wait()  # until now the last checkpoint was being written, from what changes here
        leapt = _spike(done.loss, self.history)
        skipped = leapt and settings.skip_spikes
        if leapt:
            what = "It was skipped." if skipped else "The step was taken; skip_spikes would skip it."
            self.log.say(f"The loss leapt to {done.loss:.3f} in step {step + 1}. {what}")
        if skipped:
            self.machine.weights.grad.zero_()
        else:
            self.machine.optimizer.step(lr)
        self.history.append(done.loss)
        self.at += 1
        return self._told(done, norm, 0.0 if skipped else lr, items, batches, began)

    def _gradient(
        self, step: int, rows: Sequence[Row], items: Sequence[Item]
    ) -> tuple[Accumulated, float, list[Batch]]:
        """The clipped gradient of a step, its norm before, and the batches of this rank."""
        ranks, weights, policy = self.ranks, self.machine.weights, self.machine.policy
        parts = _cut(items[ranks.rank :: ranks.size], self._passes, self.sources)
        batches = [self.goal.batch([part], self.sources, ranks.device) for part in parts]
        # All ranks of a divided model compute together, as often as each other, also who has nothing to do.
        missing = self._passes - len(batches) if weights.divided else 0
        spare = [self.goal.batch(rows[:1], self.sources, ranks.device)] * missing if missing else []
        try:
            with ranks_lost_are_told():
                done = accumulate(policy, self.goal, batches, weights, idle=spare)
            norm = weights.clip(self.settings.clip)
            if not math.isfinite(norm):
                raise NonFiniteLoss(f"The gradient is {norm}, at a loss of {done.loss}.")
        except NonFiniteLoss as error:
            self._saver.wait()
            raise blame(error, step, policy, self.goal, rows, self.sources, ranks, self.out) from None
        return done, norm, batches

    def _told(
        self,
        done: Accumulated,
        norm: float,
        lr: float,
        items: Sequence[Item],
        batches: Sequence[Batch],
        began: float,
    ) -> StepEvent:
        """Log a step that was taken, and save where it is time."""
        settings, ranks, policy = self.settings, self.ranks, self.machine.policy
        for item in items:
            self._drawn[item.source] += 1
        now = sum(len(self.sources[item.source][item.index].ids) for item in items)
        used = torch.get_num_threads()
        self._threads.count(now, time.perf_counter() - began)
        did = [policy.work(b.packed) for b in batches]
        work, idle, stop = ranks.sums(sum(w for w, _ in did), sum(i for _, i in did), self._stopped())
        self._tokens, self._work, self._idle = self._tokens + now, self._work + work, self._idle + idle
        learned = round(done.learned)
        event = StepEvent(
            step=self.at,
            steps=settings.steps,
            loss=done.loss,
            lr=lr,
            grad_norm=norm,
            tokens=now,
            learned=learned,
            padding=idle / work,
            memory_mb=memory_mb(ranks.device),
            threads=used,
            **self.log.speed(now, learned, policy.flops(work, done.learned), self._peak, self._sheet),
        )
        self.log.step(event)
        self.log.sources(self.at, done.sources, ranks)
        if self.done or self.at % settings.save_every == 0 or stop:
            self.save(now=self.done or bool(stop))
        if stop and not self.done:
            self.log.say(f"Stopped and saved after step {self.at}. The same command goes on from there.")
            raise SystemExit(128 + (self._stopped() or signal.SIGTERM))
        return event

    def save(self, *, now: bool) -> None:
        """Write a checkpoint of the steps so far; without ``now`` while the next step is computed."""
        if self._valid:
            loss = validate(self.machine.policy, self.goal, self.sources, self._valid, self.ranks, self._at_once)
            self.log.validated(self.at, loss)
            self.best.see(self.at, loss)
            self._saver.keep = self.best.step
            if self._no_better() and not self.done:
                self._enough = now = True
                self.log.say(f"Stopped after step {self.at}: no lower loss on rows kept apart since {self.best.step}.")
        extra = {
            "run": self._run,
            "losses": list(self.history),  # which grows while this is written
            "best": (self.best.step, self.best.loss),
            "threads": self._threads.now,
            "free": self._threads.free,
            "ranks": self.ranks.size,
        }
        self._saver.save(self.at, self.machine.optimizer.state, extra, now=now)
        if self._on_save and self.ranks.first and not self.machine.weights.divided:
            self._on_save(self.at, self.machine.policy.model, self.log.say)

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> TrainResult:
        """Write the model and what became of the run; a run that was finished before says so again."""
        if self.result is not None:
            return self.result
        self._held.close()
        seconds = time.perf_counter() - self._began
        settings, ranks, machine = self.settings, self.ranks, self.machine
        if settings.keep == "best" and self.best.step != self.at:
            ranks.told(lambda: checkpoint.at(self.out / "checkpoints", self.best.step)).load(machine.optimizer.state)
            machine.weights.publish()
            self.log.say(f"The result is the model of step {self.best.step}, with the lowest loss on rows kept apart.")
        machine.write(
            self.out,
            base=public_name(self.model) if isinstance(self.model, str | Path) else "",
            tokenizer_dir=self.tokenizer_dir,
            stop_ids=self.stop_ids,
        )
        drawn = sum(self._drawn.values())
        self.result = TrainResult(
            model_dir=self.out / "model",
            steps=self.at,
            loss=_tail_mean(self.history),
            tokens=self._tokens,
            seconds=seconds,
            tokens_per_second=self._tokens / seconds,
            padding=self._idle / self._work if self._work else 0.0,
            resumed_from=self.begun,
            realised={k: v / max(1, drawn) for k, v in self._drawn.items()},
            documents=drawn,
            left_out={k: int((~mask).sum()) for k, mask in self._usable.items()},
            precision=str(self._dtype).removeprefix("torch."),
            stalled=self._saver.stalled,
        )
        if ranks.first:
            write_result(self.result, self.out)
        ranks.gather(None)  # nobody goes on before the model is there
        return self.result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)
        self._lock.close()


def tokens_at_once(net: torch.nn.Module, device: torch.device) -> int:
    """Tokens in one forward pass. They follow from the model and not from the memory that is free: rounding does."""
    large = device.type == "cpu" and sum(p.numel() for p in net.parameters()) >= LARGE
    return TOKENS_AT_ONCE[device.type] // (2 if large else 1)


def _spike(loss: float, history: Sequence[float]) -> bool:
    """Whether the loss is far above what it lately was."""
    recent = history[-SPIKE_AFTER:]
    return len(recent) == SPIKE_AFTER and loss > SPIKE * sum(recent) / len(recent)


def _known(net: Any, sources: Mapping[str, TokenStore], shares: Mapping[str, float]) -> None:
    """Refuse data whose ids the model does not have."""
    biggest = max(int(store.ids.max()) for name, store in sources.items() if shares[name])
    if biggest >= net.get_input_embeddings().num_embeddings:
        raise TrainError(
            f"The data hold token id {biggest}, the model knows {net.get_input_embeddings().num_embeddings} "
            "ids. Were they encoded with another tokenizer?"
        )


def _resume(
    folder: Path, run: str, machine: Machine, notes: list[str]
) -> tuple[int, list[float], Best, Mapping[str, Any]]:
    """Go back to the newest whole checkpoint: its step, the losses until then, the best of the rows kept apart, and
    what the checkpoint says of the machine."""
    ranks = machine.weights.ranks
    found = ranks.told(lambda: checkpoint.newest(folder, notes.append))
    if found is None:
        return 0, [], Best(), {}
    if found.extra["run"] != run:
        raise CheckpointError(f"{found.folder} is of another run. Choose another folder, or delete this one.")
    found.load(machine.optimizer.state)
    machine.weights.publish()
    if found.extra["ranks"] != ranks.size:
        notes.append(another("processes", found.extra["ranks"], ranks.size))
    return found.step, list(found.extra["losses"]), Best(*found.extra["best"]), found.extra


def _cut(items: Sequence[Item], passes: int, sources: Mapping[str, TokenStore]) -> list[Row]:
    """The documents of a rank in so many parts of about as many tokens, fewer where there are fewer documents."""
    ends = np.cumsum([len(sources[item.source][item.index].ids) for item in items])
    parts = min(passes, len(items))
    bounds = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts) + 1 if parts else []
    whole = [0, *(int(b) for b in bounds), len(items)]
    return [tuple(items[a:b]) for a, b in itertools.pairwise(whole) if a < b]


@contextmanager
def _stop_after_step() -> Iterator[Callable[[], int]]:
    """SIGTERM and SIGINT only raise a flag here: the signal's number, 0 for none. A second one is not held back."""
    seen = 0

    def note(number: int, frame: Any) -> None:
        nonlocal seen
        if seen:
            raise KeyboardInterrupt
        seen = number

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: seen
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _tail_mean(history: Sequence[float]) -> float:
    tail = history[-max(1, len(history) // 10) :]
    return sum(tail) / len(tail)
