"""Plan and train.

done = fit("hub:Qwen/Qwen3-0.6B", data, "runs/mine", steps=200, adapter={"rank": 16})
done.load().ask("...")

``Trainer`` is the same run, opened to take one step after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tunesmith.api.checked import checked
from tunesmith.api.data import Data
from tunesmith.api.folders import open_folder
from tunesmith.api.model import Model, Talk, conversation_of, load
from tunesmith.core.document import path_of
from tunesmith.core.errors import TrainError
from tunesmith.core.types import Conversation, EncodedMany
from tunesmith.plan import Plan, TokenStore
from tunesmith.stages import hub
from tunesmith.stages.sft import Sft, TuneSettings, tune
from tunesmith.stages.stage import Job


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training."""

    folder: Path
    """The model, a plain Hugging Face folder."""
    steps: int
    loss: float
    """Mean training loss over the last tenth of the steps."""
    tokens: int
    info: Mapping[str, Any]
    """All that is known of the run: shares asked and drawn, rows left out, speed, precision."""

    def load(self) -> Model:
        """The tuned model, ready to be asked."""
        return load(self.folder)


def fit(
    model: Model | str | Path,
    rows: Data | Iterable[Talk],
    out: str | Path,
    *,
    objective: str = "sft",
    chat: str | None = None,
    rehearsal: float = 0.0,
    mixture: Mapping[str, Any] | None = None,
    progress: bool = False,
    **train: Any,
) -> Fitted:
    """Tune a model on conversations, and write it to ``out/model``.

    ``objective`` is sft, or the name of one that was registered with ``objective``. ``chat`` gives a format to a base
    that has none. ``mixture`` says how often each task is drawn. ``train`` are the settings of training: ``steps`` or
    ``epochs``, ``lr``, ``batch_tokens``, ``adapter``, ``seed`` and so on. Called again with the same arguments, a run
    that was stopped continues from its newest checkpoint.
    """
    given = {"model": "base", "data": "data", "objective": objective, "rehearsal": rehearsal, "train": train}
    given |= {"chat": chat} if chat else {}
    given |= {"mixture": dict(mixture)} if mixture else {}
    stage = checked(Sft, {"kind": "sft", **given}, "fit()")
    inputs = {"base": _folder(model)}
    if isinstance(rows, Data):
        inputs["data"] = rows.folder
    if rehearsal and not (isinstance(rows, Data) and (rows.folder / "text.jsonl").is_file()):
        raise TrainError(
            "fit(): rehearsal needs a build with text to pretrain on, as the build stage of a recipe writes it. Give "
            'that build as rows, ts.Data.open("runs/my/build"), or leave rehearsal out.'
        )
    folder = path_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(folder.name, folder, stage.train.seed, inputs, Console(quiet=not progress))
    info = tune(stage, job, _conversations(rows))
    return Fitted(folder / "model", int(info["steps"]), float(info["loss"]), int(info["tokens"]), info)


def make_plan(
    sources: Mapping[str, EncodedMany | TokenStore],
    *,
    objective: str = "sft",
    shares: Mapping[str, float] | None = None,
    **train: Any,
) -> Plan:
    """Which documents stand in which row of which batch: ``plan.batch(step)``, ``plan.report()``.

    ``shares`` are shares of documents, by default as many as each source has rows. ``train`` are the settings of
    training that matter here: ``steps`` or ``epochs``, ``batch_tokens``, ``row_length``, ``seed``.
    """
    from tunesmith.train.epochs import in_steps
    from tunesmith.train.objectives import OBJECTIVES
    from tunesmith.train.planned import planned

    stores = {name: s if isinstance(s, TokenStore) else TokenStore.of(s) for name, s in sources.items()}
    drawn = dict(shares) if shares is not None else {name: float(len(store)) for name, store in stores.items()}
    settings = in_steps(checked(TuneSettings, train, "make_plan()"), objective, stores, drawn)
    return planned(OBJECTIVES[objective], stores, drawn, settings).plan


def _folder(model: Model | str | Path) -> Path:
    place = str(model.place if isinstance(model, Model) else model)
    if place.startswith(("http://", "https://")):
        raise TrainError(f"{place} is behind a server; only a model whose weights are here can be trained.")
    return open_folder(hub.place(place)).folder


def _conversations(rows: Data | Iterable[Talk]) -> list[Conversation]:
    """Conversations with a task and an id each, by which the mixture and errors name them."""
    if isinstance(rows, Data):
        return rows.train
    found = []
    for number, talk in enumerate(rows, 1):
        row = conversation_of(talk)
        found.append(replace(row, id=row.id or f"row {number}", task=row.task or "rows"))
    if not found:
        raise TrainError("fit(): there is no row to train on.")
    return found
