"""The training loop: from a model, stores of encoded rows and settings to a model folder.

    for step: rows = plan.batch(step) -> batches -> sum of losses / weight of the whole batch -> clip -> step

It knows no objective by name and never sees text. Everything random follows from (seed, step), so a run
that was killed goes on to the same weights, bit for bit, on the same machine, however busy that is (see threads.py).

    out_dir/
      run.json          what is trained, on what, with which settings
      metrics.jsonl     one line a step;  tensorboard/ the same
      checkpoints/      the newest two
      model/            the result, a plain Hugging Face folder
"""

from __future__ import annotations

import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunesmith.core.errors import CheckpointError, NonFiniteLoss, TrainError
from tunesmith.core.lock import run_lock
from tunesmith.core.malloc import keep_freed_memory
from tunesmith.models.load import ModelSource, public_name
from tunesmith.models.policy import Policy
from tunesmith.plan import Item, Plan, Row, TokenStore, seed_of
from tunesmith.train import checkpoint, watch
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
from tunesmith.train.objective import OBJECTIVES, Loss, Objective, loss_of
from tunesmith.train.objectives import pretrain, sft  # noqa: F401  (they register themselves)
from tunesmith.train.optim import Weights, compute_dtype, rate_at
from tunesmith.train.parallel import Ranks, ranks_lost_are_told
from tunesmith.train.recompute import compute_again
from tunesmith.train.settings import TrainSettings
from tunesmith.train.threads import Threads, another, threads_of
from tunesmith.train.validation import Best, apart, validate

__all__ = ["TrainResult", "accumulate", "train"]

TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 16384}
"""Tokens in one forward pass where the settings leave it open."""
LARGE = 50_000_000
"""On a CPU, a model of so many parameters gets half as many: it is as fast, and keeps half as much."""
SPIKE, SPIKE_AFTER = 2.0, 20
"""A loss this many times the mean of so many steps before it is a spike."""


def train(
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
    progress: bool = True,
) -> TrainResult:
    """Train ``model`` (a folder, a hub id, or a configuration for fresh weights) and write ``out_dir/model``.

    ``sources`` are mixed in the ``shares`` of documents that are asked for. Called again on the same folder it goes on
    from the newest whole checkpoint, or returns at once when the run is finished. SIGTERM and Ctrl-C save
    after the current step and then end the process as usual. Tokenizer files come from ``tokenizer_dir``, or
    from the model's own folder. ``new_ids`` are tokens that the model does not know yet; ``groups`` says of which
    cluster a source is. Started by torchrun, all its processes call this with the same arguments.
    """
    keep_freed_memory()
    settings = in_steps(settings, objective, sources, shares)
    out = Path(out_dir)
    goal = OBJECTIVES[objective]
    ranks = Ranks.join()
    with run_lock(out) if ranks.first else nullcontext():
        usable = {name: goal.usable(store) for name, store in sources.items()}
        held_back = apart(sources, usable, settings.validation)
        plan = Plan(
            {name: store.lengths for name, store in sources.items()},
            shares,
            seed=settings.seed,
            batch_tokens=settings.batch_tokens,
            row_length=settings.row_length,
            steps=settings.steps,
            keep={name: mask & ~held_back[name] for name, mask in usable.items()},
        )
        # A run goes on in the precision that it was begun in, also where the machine seems to be another.
        asked = settings.precision
        if asked == "auto":
            asked = ranks.told(lambda: precision_of(out) or asked)
        dtype = ranks.told(lambda: compute_dtype(asked, ranks.device))
        about = identity(model, objective, sources, shares, settings, dtype)
        if new_ids:
            about["new_ids"] = sorted(map(int, new_ids))
        ranks.told(lambda: same_run(out, about))
        finished = ranks.told(lambda: read_result(out))
        if finished is not None:
            return finished
        if tokenizer_dir is None and isinstance(model, str | Path) and Path(model).is_dir():
            tokenizer_dir = model

        machine = assemble(model, settings, ranks, dtype, new_ids)
        policy, weights, optimizer = machine.policy, machine.weights, machine.optimizer
        net: Any = policy.model
        _known(net, sources, shares)
        notes: list[str] = []
        if policy.why:
            how = (
                "computes attention without its fast kernels"
                if policy.packs
                else "is trained document beside document and not packed, which costs padding"
            )
            notes.append(f"{type(net).__name__} {how}: {policy.why}")
        start, history, best, begun = _resume(out / "checkpoints", digest(about), machine, notes)
        net.train()
        at_once = settings.tokens_at_once or tokens_at_once(net, ranks.device)
        passes = max(1, -(-round(settings.batch_tokens / at_once) // ranks.size))
        if start < settings.steps:
            some = _cut([item for row in plan.batch(start) for item in row], 8 * ranks.size * passes, sources)[:1]
            small = goal.batch(some, sources, ranks.device)
            notes += compute_again(
                settings.recompute, machine, lambda: loss_of(policy, goal, small).total, at_once / small.tokens
            )
        tokens = 0
        work = idle = 0.0
        drawn = dict.fromkeys(sources, 0)
        log = RunLog(
            out,
            start=start,
            steps=settings.steps,
            title=objective,
            progress=progress and ranks.first,
            on_event=on_event,
            track=settings.track,
            groups=groups or {},
            silent=not ranks.first,
        )
        saver = checkpoint.Saver(out / "checkpoints", ranks, divided=weights.divided, say=log.say)
        valid = [Item(name, int(i)) for name, mask in held_back.items() for i in np.flatnonzero(mask)]

        def save(step: int, *, now: bool) -> None:
            if valid:
                loss = validate(policy, goal, sources, valid, ranks, at_once)
                log.validated(step, loss)
                best.see(step, loss)
                saver.keep = best.step
            extra = {
                "run": digest(about),
                "losses": list(history),  # which grows while this is written
                "best": (best.step, best.loss),
                "threads": threads.now,
                "free": threads.free,
                "ranks": ranks.size,
            }
            saver.save(step, optimizer.state, extra, now=now)

        def try_out() -> torch.Tensor:
            """The gradient of a part of the first batch: how long it takes, and with which bits."""
            weights.grad.zero_()
            torch.manual_seed(0)
            items = [item for row in plan.batch(start) for item in row]
            batch = goal.batch(_cut(items, passes, sources)[:1], sources, ranks.device)
            (loss_of(policy, goal, batch).total / goal.weight(batch)).backward()  # type: ignore[no-untyped-call]
            return weights.grad

        with ExitStack() as held:
            held.enter_context(log)
            stopped = held.enter_context(_stop_after_step())
            for note in notes:
                log.say(note)
            threads: Threads = held.enter_context(
                threads_of(ranks, try_out if start < settings.steps else None, log.say, begun)
            )
            weights.grad.zero_()
            torch.set_num_threads(threads.most)
            peak = ranks.size * peak_flops(ranks.device, dtype)
            sheet = ranks.size * (sheet_flops(ranks.device, dtype, threads.most) or 0.0)
            torch.set_num_threads(threads.now)
            began = time.perf_counter()
            for step in range(start, settings.steps):
                watch.at(f"step {step + 1}")
                lr = rate_at(step, settings.steps, settings.lr, settings.warmup, settings.decay, settings.schedule)
                torch.manual_seed(seed_of(settings.seed, "step", step, *[ranks.rank] * bool(ranks.rank)))
                rows = plan.batch(step)
                items = [item for row in rows for item in row]
                parts = _cut(items[ranks.rank :: ranks.size], passes, sources)
                batches = [goal.batch([part], sources, ranks.device) for part in parts]
                # All ranks of a divided model compute together, as often as each other, also who has nothing to do.
                missing = passes - len(batches) if weights.divided else 0
                spare = [goal.batch(rows[:1], sources, ranks.device)] * missing if missing else []
                step_began = time.perf_counter()
                try:
                    with ranks_lost_are_told():
                        done = accumulate(policy, goal, batches, weights, idle=spare)
                    norm = weights.clip(settings.clip)
                    if not math.isfinite(norm):
                        raise NonFiniteLoss(f"The gradient is {norm}, at a loss of {done.loss}.")
                except NonFiniteLoss as error:
                    saver.wait()
                    raise blame(error, step, policy, goal, rows, sources, ranks, out) from None
                saver.wait()  # until now the last checkpoint was being written, from what changes here
                leapt = _spike(done.loss, history)
                skipped = leapt and settings.skip_spikes
                if leapt:
                    what = "It was skipped." if skipped else "The step was taken; skip_spikes would skip it."
                    log.say(f"The loss leapt to {done.loss:.3f} in step {step + 1}. {what}")
                if skipped:
                    weights.grad.zero_()
                else:
                    optimizer.step(lr)
                history.append(done.loss)
                for item in items:
                    drawn[item.source] += 1
                now = sum(len(sources[item.source][item.index].ids) for item in items)
                used = torch.get_num_threads()
                threads.count(now, time.perf_counter() - step_began)
                did = [policy.work(b.packed) for b in batches]
                now_work, now_idle, stop = ranks.sums(sum(w for w, _ in did), sum(i for _, i in did), stopped())
                tokens, work, idle = tokens + now, work + now_work, idle + now_idle
                log.step(
                    StepEvent(
                        step=step + 1,
                        steps=settings.steps,
                        loss=done.loss,
                        lr=0.0 if skipped else lr,
                        grad_norm=norm,
                        tokens=now,
                        learned=round(done.learned),
                        padding=now_idle / now_work,
                        memory_mb=memory_mb(ranks.device),
                        threads=used,
                        **log.speed(now, round(done.learned), policy.flops(now_work, done.learned), peak, sheet),
                    )
                )
                log.sources(step + 1, done.sources, ranks)
                end = step + 1 == settings.steps
                if end or (step + 1) % settings.save_every == 0 or stop:
                    save(step + 1, now=end or bool(stop))
                if stop and not end:
                    log.say(f"Stopped and saved after step {step + 1}. The same command goes on from there.")
                    raise SystemExit(128 + (stopped() or signal.SIGTERM))
        seconds = time.perf_counter() - began
        if settings.keep == "best" and best.step != settings.steps:
            ranks.told(lambda: checkpoint.at(out / "checkpoints", best.step)).load(optimizer.state)
            weights.publish()
            log.say(f"The result is the model of step {best.step}, with the lowest loss on rows kept apart.")
        machine.write(
            out,
            base=public_name(model) if isinstance(model, str | Path) else "",
            tokenizer_dir=tokenizer_dir,
            stop_ids=stop_ids,
        )
        result = TrainResult(
            model_dir=out / "model",
            steps=settings.steps,
            loss=_tail_mean(history),
            tokens=tokens,
            seconds=seconds,
            tokens_per_second=tokens / seconds,
            padding=idle / work if work else 0.0,
            resumed_from=start,
            realised={k: v / max(1, sum(drawn.values())) for k, v in drawn.items()},
            documents=sum(drawn.values()),
            left_out={k: int((~mask).sum()) for k, mask in usable.items()},
            precision=str(dtype).removeprefix("torch."),
            stalled=saver.stalled,
        )
        if ranks.first:
            write_result(result, out)
        ranks.gather(None)  # nobody goes on before the model is there
        return result


def tokens_at_once(net: torch.nn.Module, device: torch.device) -> int:
    """Tokens in one forward pass. They follow from the model and not from the memory that is free: rounding does."""
    large = device.type == "cpu" and sum(p.numel() for p in net.parameters()) >= LARGE
    return TOKENS_AT_ONCE[device.type] // (2 if large else 1)


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What a global batch has given, over all ranks."""

    loss: float
    learned: float
    sources: Mapping[str, tuple[float, float]]
    """(summed loss, weight) of each source."""


def accumulate(
    policy: Policy, objective: Objective, batches: Sequence[Batch], weights: Weights, *, idle: Sequence[Batch] = ()
) -> Accumulated:
    """Put the gradient of the mean loss over all ``batches`` of all ranks into ``weights.grad``.

    The mean is over the weight of all of them together, known before the first is computed, so it does not matter how
    a global batch was cut. ``idle`` is computed for the company of other ranks and counts for nothing.
    """
    ranks = weights.ranks
    (weight,) = ranks.sums(sum(objective.weight(b) for b in batches))
    if weight <= 0:
        raise TrainError("A global batch teaches nothing. Raise batch_tokens.")
    total = 0.0
    by_source: dict[str, tuple[float, float]] = {}
    for batch in batches:
        loss = loss_of(policy, objective, batch)
        total += float(loss.total.detach())
        (loss.total / weight).backward()  # type: ignore[no-untyped-call]
        weights.collect()
        for name, (lost, counted) in _of_sources(batch, loss).items():
            before = by_source.get(name, (0.0, 0.0))
            by_source[name] = before[0] + lost, before[1] + counted
    for batch in idle:
        (loss_of(policy, objective, batch).total * 0).backward()  # type: ignore[no-untyped-call]
        weights.collect()
    weights.gather()
    (total,) = ranks.sums(total)
    if not math.isfinite(total):
        raise NonFiniteLoss(f"The loss is {total}.")
    return Accumulated(total / weight, weight, by_source)


def _of_sources(batch: Batch, loss: Loss) -> dict[str, tuple[float, float]]:
    """The summed loss and the weight of each source in a batch."""
    if loss.each is None:
        return {}
    names = [item.source for item in batch.items]
    kinds = {name: i for i, name in enumerate(dict.fromkeys(names))}
    owner = np.array([kinds[name] for name in names])[batch.owners]
    lost = np.bincount(owner, loss.each.double().cpu().numpy(), len(kinds))
    counted = np.bincount(owner, minlength=len(kinds))
    return {name: (float(lost[i]), float(counted[i])) for name, i in kinds.items() if counted[i]}


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
