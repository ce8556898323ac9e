"""The training loop: from a model, stores of encoded rows and settings to a model folder.

    for step: rows = plan.batch(step) -> batches -> sum of losses / weight of the whole batch -> clip -> step

It knows no objective by name and never sees text. Everything random follows from (seed, step), so a run
that was killed goes on to the same weights, bit for bit, on the same machine with as many threads.

    out_dir/
      run.json          what is trained, on what, with which settings
      metrics.jsonl     one line a step;  tensorboard/ the same
      checkpoints/      the newest two
      model/            the result, a plain Hugging Face folder
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tunesmith.errors import CheckpointError, NonFiniteLoss, TrainError
from tunesmith.models.load import ModelSource, cast, load_config, load_model, save_model
from tunesmith.models.lowrank import attach, freeze, merge, save_adapter
from tunesmith.models.policy import Policy
from tunesmith.models.vocabulary import extend
from tunesmith.plan import Plan, Row, TokenStore, seed_of
from tunesmith.train import checkpoint
from tunesmith.train.batch import Batch
from tunesmith.train.lock import run_lock
from tunesmith.train.log import OnEvent, RunLog, StepEvent
from tunesmith.train.malloc import keep_freed_memory
from tunesmith.train.objective import OBJECTIVES, Objective
from tunesmith.train.objectives import pretrain, sft  # noqa: F401  (they register themselves)
from tunesmith.train.optim import Optimizer, Weights, compute_dtype, rate_at
from tunesmith.train.settings import TrainSettings

__all__ = ["TrainResult", "accumulate", "train"]

_SMALL = 50_000_000
"""Parameters up to which a model is small."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run was."""

    model_dir: Path
    steps: int
    loss: float
    """Mean training loss over the last tenth of the steps."""
    tokens: int
    seconds: float
    """Of training, in this process; 0.0 where the run was found finished."""
    tokens_per_second: float
    padding: float
    """Share of the model's work that was done for no token (only attention has any)."""
    resumed_from: int
    """The step this process began at."""
    realised: Mapping[str, float]
    """Share of each source in the documents trained on."""
    left_out: Mapping[str, int]
    """Rows of each source that teach nothing under this objective."""
    precision: str
    documents: int = 0
    """Drawn in this process."""


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
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train ``model`` (a folder, a hub id, or a configuration for fresh weights) and write ``out_dir/model``.

    ``sources`` are mixed in the ``shares`` of documents that are asked for. Called again on the same folder it goes on
    from the newest whole checkpoint, or returns at once when the run is finished. SIGTERM and Ctrl-C save
    after the current step and then end the process as usual. Tokenizer files come from ``tokenizer_dir``, or
    from the model's own folder. ``new_ids`` are tokens that the model does not know yet.
    """
    keep_freed_memory()
    out = Path(out_dir)
    goal = OBJECTIVES[objective]
    with run_lock(out):
        usable = {name: goal.usable(store) for name, store in sources.items()}
        plan = Plan(
            {name: store.lengths for name, store in sources.items()},
            shares,
            seed=settings.seed,
            batch_tokens=settings.batch_tokens,
            row_length=settings.row_length,
            steps=settings.steps,
            keep=usable,
        )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = compute_dtype(settings.precision, device)
        identity = _identity(model, objective, sources, shares, settings, dtype)
        if new_ids:
            identity["new_ids"] = sorted(map(int, new_ids))
        _same_run(out, identity)
        done = out / "result.json"
        if done.exists() and (out / "model" / "config.json").exists():
            return _read_result(done, out)
        if tokenizer_dir is None and isinstance(model, str | Path) and Path(model).is_dir():
            tokenizer_dir = model

        net, stored = _prepare(model, settings, new_ids, device, dtype)
        biggest = max(int(store.ids.max()) for name, store in sources.items() if shares[name])
        if biggest >= net.get_input_embeddings().num_embeddings:
            raise TrainError(
                f"The data hold token id {biggest}, the model knows {net.get_input_embeddings().num_embeddings} "
                "ids. Were they encoded with another tokenizer?"
            )
        policy = Policy(net, noise=settings.noise)
        policy.check()
        kind = settings.optimizer
        if kind == "auto":
            kind = "adamw" if settings.adapter else "muon"
        weights = Weights(net, optimizer=kind, dtype=dtype)
        if settings.recompute:
            # transformers 5 has had two names for it
            again = getattr(net, "activation_checkpointing_enable", None) or net.gradient_checkpointing_enable
            again({"use_reentrant": False})
        optimizer = Optimizer(weights, weight_decay=settings.weight_decay)
        notes: list[str] = []
        if policy.why:
            notes.append(
                f"{type(net).__name__} is trained document beside document and not packed, which costs padding: "
                f"{policy.why}"
            )
        found = checkpoint.newest(out / "checkpoints", notes.append)
        start = 0
        history: list[float] = []
        if found is not None:
            optimizer.load(found.state)
            start, history = found.step, list(found.extra["losses"])
            threads = found.extra["threads"]
            if threads != torch.get_num_threads():
                notes.append(
                    f"The run was begun with {threads} threads and goes on with {torch.get_num_threads()}: the result "
                    "will be as good, but not the same to the last bit."
                )
        net.train()
        passes = max(1, round(settings.batch_tokens / (settings.tokens_at_once or _tokens_at_once(net))))
        tokens = work = idle = 0
        drawn = dict.fromkeys(sources, 0)
        began = time.perf_counter()
        log = RunLog(out, start=start, steps=settings.steps, title=objective, progress=progress, on_event=on_event)

        def save(step: int) -> None:
            extra = {"losses": history, "threads": torch.get_num_threads()}
            checkpoint.save(out / "checkpoints", step, optimizer.state, extra)

        with log, _stop_after_step() as stopped:
            for note in notes:
                log.say(note)
            for step in range(start, settings.steps):
                lr = rate_at(step, settings.steps, settings.lr, settings.warmup, settings.decay, settings.schedule)
                torch.manual_seed(seed_of(settings.seed, "step", step))
                batches = [goal.batch(rows, sources, device) for rows in _cut(plan.batch(step), passes)]
                try:
                    loss = accumulate(policy, goal, batches, weights)
                    norm = float(weights.clip(settings.clip))
                    if not math.isfinite(norm):
                        raise NonFiniteLoss(f"The gradient is {norm}, at a loss of {loss}.")
                except NonFiniteLoss as error:
                    raise _explain(error, step, policy, goal, batches, sources, out) from None
                optimizer.step(lr)
                history.append(loss)
                for batch in batches:
                    for item in batch.items:
                        drawn[item.source] += 1
                now = sum(b.tokens for b in batches)
                did = [policy.work(b.packed) for b in batches]
                now_work, now_idle = sum(w for w, _ in did), sum(i for _, i in did)
                tokens, work, idle = tokens + now, work + now_work, idle + now_idle
                log.step(
                    StepEvent(
                        step=step + 1,
                        steps=settings.steps,
                        loss=loss,
                        lr=lr,
                        grad_norm=norm,
                        tokens=now,
                        learned=sum(b.learned for b in batches),
                        padding=now_idle / now_work,
                        tokens_per_second=log.rate(now),
                    )
                )
                end = step + 1 == settings.steps
                if end or (step + 1) % settings.save_every == 0 or stopped():
                    save(step + 1)
                if stopped() and not end:
                    log.say(f"Stopped and saved after step {step + 1}. The same command goes on from there.")
                    raise SystemExit(128 + stopped())
        seconds = time.perf_counter() - began
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
        )
        weights.to_master()
        net.train(False)
        if settings.adapter:
            save_adapter(net, out / "adapter", settings.adapter, base=str(model))
        if settings.adapter or settings.freeze:  # what stayed is written as it was read
            net = merge(net, _begin(model, settings, new_ids))
        cast(net, stored)
        save_model(net, result.model_dir, tokenizer_dir=tokenizer_dir, stop_ids=stop_ids)
        _write_result(result, out)
        return result


def accumulate(policy: Policy, objective: Objective, batches: Sequence[Batch], weights: Weights) -> float:
    """Put the gradient of the mean loss over all ``batches`` into ``weights.grad``; give that loss.

    The mean is over the weight of all batches together, known before the first is computed, so it does not matter how
    a global batch was cut.
    """
    weight = sum(objective.weight(b) for b in batches)
    if weight <= 0:
        raise TrainError("A global batch teaches nothing. Raise batch_tokens.")
    total = 0.0
    for batch in batches:
        loss = objective.loss(policy, batch)
        value = float(loss.total.detach())
        if not math.isfinite(value):
            raise NonFiniteLoss(f"The loss is {value}.")
        (loss.total / weight).backward()  # type: ignore[no-untyped-call]
        total += value
    return total / weight


def _prepare(
    model: ModelSource, settings: TrainSettings, new_ids: Sequence[int], device: torch.device, dtype: torch.dtype
) -> tuple[Any, torch.dtype]:
    """The model ready to be trained, on its device, and the data type that it is stored in."""
    net: Any = _begin(model, settings, new_ids)
    stored = net.dtype
    cast(net, dtype if settings.adapter else torch.promote_types(stored, torch.float32))
    if settings.adapter:
        attach(net, settings.adapter, seed=seed_of(settings.seed, "adapter"), device=device)
        if new_ids:  # their rows begin at a mean, which says nothing: they are trained
            for layer in (net.get_input_embeddings(), net.get_output_embeddings()):
                layer.requires_grad_(True)
    if settings.freeze:
        freeze(net, settings.freeze)
    return net.to(device), stored


def _begin(model: ModelSource, settings: TrainSettings, new_ids: Sequence[int]) -> Any:
    """The model before the first step, as it is stored."""
    net = load_model(model, seed=seed_of(settings.seed, "weights"), dtype=None)
    extend(net, new_ids, seed=seed_of(settings.seed, "new tokens"))
    return net


def _tokens_at_once(net: Any) -> int:
    """Tokens in one forward pass where the settings leave it open: enough for speed, little enough for memory."""
    if net.device.type != "cpu":
        return 16384
    return 2048 if sum(p.numel() for p in net.parameters()) <= _SMALL else 512


def _cut(rows: Sequence[Row], passes: int) -> list[Sequence[Row]]:
    """The rows of a global batch in so many parts of about one size, fewer where there are fewer rows."""
    parts = min(passes, len(rows))
    ends = [len(rows) * (i + 1) // parts for i in range(parts)]
    return [rows[a:b] for a, b in zip([0, *ends], ends, strict=False)]


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


@torch.no_grad()
def _explain(
    error: NonFiniteLoss,
    step: int,
    policy: Policy,
    objective: Objective,
    batches: Sequence[Batch],
    sources: Mapping[str, TokenStore],
    out: Path,
) -> NonFiniteLoss:
    """Name the documents whose own loss is not finite; where none is alone to blame, all of the batch."""
    guilty = []
    items = [item for b in batches for item in b.items]
    for item in items:
        alone = objective.batch([(item,)], sources, batches[0].ids.device)
        if not math.isfinite(float(objective.loss(policy, alone).total)):
            guilty.append(item)
    if guilty:
        who = f"It comes from {len(guilty)} of the {len(items)} documents of this batch:"
    else:
        who = f"No single document does it; the batch held {len(items)}:"
    names = [f"{i.source}: {sources[i.source].names[i.index]}" for i in (guilty or items)]
    shown = "\n  ".join(names[:50] + (["..."] if len(names) > 50 else []))
    return NonFiniteLoss(
        f"{error} Step {step + 1} was not taken. {who}\n  {shown}\n"
        "Look at these rows, or lower lr; the run goes on from its newest checkpoint in "
        f"{out / 'checkpoints'}."
    )


def _identity(
    model: ModelSource,
    objective: str,
    sources: Mapping[str, TokenStore],
    shares: Mapping[str, float],
    settings: TrainSettings,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """All that decides the result of a run."""
    values = settings.model_dump()
    values.pop("save_every")
    values["precision"] = str(dtype).removeprefix("torch.")
    if isinstance(model, str | Path):
        name: Any = str(model)
    else:
        name = load_config(model).to_diff_dict()
    identity = {
        "model": name,
        "objective": objective,
        "sources": {k: s.digest for k, s in sorted(sources.items())},
        "shares": {k: float(v) for k, v in sorted(shares.items())},
        "settings": values,
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity, default=str))
    return plain


def _same_run(out: Path, identity: Mapping[str, Any]) -> None:
    """A folder holds one run: going on with other settings or data would be neither the old nor the new one."""
    path = out / "run.json"
    if not path.exists():
        text = json.dumps(identity, indent=1) + "\n"
        part = out / ".run.json"
        part.write_text(text, encoding="utf-8")
        part.replace(path)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    if before == identity:
        return
    differences = []
    for key in identity:
        if before.get(key) == identity[key]:
            continue
        if isinstance(identity[key], dict) and isinstance(before.get(key), dict):
            for k in sorted(set(identity[key]) | set(before[key])):
                if before[key].get(k) != identity[key].get(k):
                    differences.append(f"{key}.{k}: {before[key].get(k)} -> {identity[key].get(k)}")
        else:
            differences.append(f"{key}: {before.get(key)} -> {identity[key]}")
    raise CheckpointError(
        f"{out} holds another run ({'; '.join(differences)}). Choose another folder, or delete this one."
    )


def _tail_mean(history: Sequence[float]) -> float:
    tail = history[-max(1, len(history) // 10) :]
    return sum(tail) / len(tail)


def _write_result(result: TrainResult, out: Path) -> None:
    values = {**asdict(result), "model_dir": "model"}
    part = out / ".result.json"
    part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    part.replace(out / "result.json")


def _read_result(path: Path, out: Path) -> TrainResult:
    values = json.loads(path.read_text(encoding="utf-8"))
    return TrainResult(**{**values, "model_dir": out / "model", "seconds": 0.0})
