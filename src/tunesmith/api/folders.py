"""Which folder a person means: a run, a stage of it, or any Hugging Face model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import RecipeError, nearest
from tunesmith.stages.state import check_inputs, read_state


@dataclass(frozen=True)
class Opened:
    """A model or tokenizer folder, and the run that it belongs to, if any."""

    folder: Path
    run: Path | None = None
    info: dict[str, Any] = field(default_factory=dict)
    """What the run's ``stages.json`` says."""

    @property
    def trained_on(self) -> list[Path]:
        """The rows of builds that the model was trained on, by whatever training stages lead to it; of a pretraining
        their text."""
        found: list[Path] = []
        stage = self.folder.parent if self.folder.name == "model" else self.folder
        while self.run is not None and (state := read_state(stage)) is not None:
            settings = state["parts"]["settings"]
            data, model = (self.run / str(settings.get(key) or "-") for key in ("data", "model"))
            rows = data / "text.jsonl" if state["kind"] == "pretrain" else data
            found += [rows] if rows.exists() else []
            stage = model
        return list(dict.fromkeys(found))

    def stage_of_kind(self, kind: str) -> Path | None:
        """The first finished stage of this kind in the run."""
        finished: dict[str, Any] = self.info.get("stages", {})
        for id, stage in finished.items():
            if stage["kind"] == kind and self.run is not None:
                return self.run / id
        return None


def open_folder(name: Path, needs: str = "config.json") -> Opened:
    """The model that a path means: itself, or the result of the run that it holds."""
    folder = name.expanduser()
    if not folder.is_dir():
        around = folder.parent if folder.parent.is_dir() else Path()
        close = nearest(folder.name, [path.name for path in around.iterdir() if path.is_dir()])
        hint = f" Did you mean {around / close}?" if close else " Make one with: tunesmith quickstart"
        raise RecipeError(f"There is no folder {name}.{hint}")
    for model in (folder, folder / "model"):  # a training stage keeps its model in a folder of its own
        if (model / needs).exists():
            run = next((above for above in model.parents[:2] if (above / "stages.json").exists()), None)
            if run:
                _check(model)
            return Opened(model, run, _info(run) if run else {})
    if (folder / "stages.json").exists():
        info = _info(folder)
        result = folder / str(info.get("result", "")) / "model"
        if (result / needs).exists():
            _check(result)
            return Opened(result, folder, info)
        raise RecipeError(
            f"The run in {folder} has not come as far as its model ({info.get('result') or 'it has none'}). "
            f"Go on with: tunesmith run {info.get('file') or 'quickstart'}"
        )
    raise RecipeError(f"{folder} holds neither a model (config.json) nor a run (stages.json).")


def _check(model: Path) -> None:
    """See to it that a model of a run is as its stage wrote it."""
    stage = model.parent if model.name == "model" else model
    check_inputs({stage.name: stage}, "This command")


def _info(run: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((run / "stages.json").read_text(encoding="utf-8"))
    return info
