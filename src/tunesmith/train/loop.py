"""Training from a model, stores of encoded rows and settings to a model folder.

out_dir/
  run.json          what is trained, on what, with which settings
  metrics.jsonl     one line a step;  tensorboard/ the same
  checkpoints/      the newest two
  model/            the result, a plain Hugging Face folder
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.models.load import ModelSource
from tunesmith.plan import TokenStore
from tunesmith.train.identity import (
    TrainResult,
)
from tunesmith.train.log import OnEvent
from tunesmith.train.settings import TrainSettings
from tunesmith.train.trainer import OnSave, Trainer

__all__ = ["TrainResult", "train"]


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
    on_save: OnSave | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train ``model`` (a folder, a hub id, or a configuration for fresh weights) and write ``out_dir/model``.

    ``sources`` are mixed in the ``shares`` of documents that are asked for. Called again on the same folder it goes on
    from the newest whole checkpoint, or returns at once when the run is finished. SIGTERM and Ctrl-C save
    after the current step and then end the process as usual. Tokenizer files come from ``tokenizer_dir``, or
    from the model's own folder. ``new_ids`` are tokens that the model does not know yet; ``groups`` says of which
    cluster a source is. Started by torchrun, all its processes call this with the same arguments.
    """
    with Trainer(
        model,
        objective,
        sources,
        shares,
        settings,
        out_dir,
        tokenizer_dir=tokenizer_dir,
        stop_ids=stop_ids,
        new_ids=new_ids,
        groups=groups,
        on_event=on_event,
        on_save=on_save,
        progress=progress,
    ) as run:
        while not run.done:
            run.step()
        return run.finish()
