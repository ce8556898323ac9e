"""What a run is (``run.json``) and what it was when it was finished (``result.json``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from tunesmith.core.errors import CheckpointError
from tunesmith.core.whole import write_whole
from tunesmith.models.load import ModelSource, load_config
from tunesmith.plan import TokenStore
from tunesmith.train.settings import TrainSettings

UNCHANGING = {"save_every", "shard", "offload", "track", "recompute"}
"""Settings that change nothing in what is learned but rounding: a run may go on with others."""


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
    stalled: float = 0.0
    """Seconds of it in which steps have waited for a checkpoint to be written."""


def identity(
    model: ModelSource,
    objective: str,
    sources: Mapping[str, TokenStore],
    shares: Mapping[str, float],
    settings: TrainSettings,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """All that decides the result of a run."""
    values = settings.model_dump()
    for setting in UNCHANGING:
        values.pop(setting)
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


def precision_of(out: Path) -> Literal["fp32", "bf16"] | None:
    """The precision that the run in a folder was begun in."""
    before = (_read(out / "run.json") or {}).get("settings")
    found = before.get("precision") if isinstance(before, dict) else None
    return "bf16" if found == "bfloat16" else "fp32" if found == "float32" else None


def same_run(out: Path, identity: Mapping[str, Any]) -> None:
    """A folder holds one run: going on with other settings or data would be neither the old nor the new one.

    A damaged ``run.json`` is written anew; that the checkpoints are of this run is seen by what they carry themselves.
    """
    path = out / "run.json"
    before = _read(path)
    if before is None:
        write_whole(path, json.dumps(identity, indent=1) + "\n")
        return
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


def write_result(result: TrainResult, out: Path) -> None:
    """Written last: a run that has it is finished."""
    values = {**asdict(result), "model_dir": "model"}
    write_whole(out / "result.json", json.dumps(values, indent=1) + "\n")


def read_result(out: Path) -> TrainResult | None:
    """The result of a run that is finished."""
    values = _read(out / "result.json")
    if values is None or not (out / "model" / "config.json").exists():
        return None
    return TrainResult(**{**values, "model_dir": out / "model", "seconds": 0.0})


def digest(identity: Mapping[str, Any]) -> str:
    """A hash of what a run is."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=12).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
