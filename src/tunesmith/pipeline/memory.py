"""The memory that the training stages of a recipe need, from the shapes of their models alone.

    of_recipe(recipe)["tune"].total                            bytes
    line(recipe)                                               as the comment of a shipped recipe has it

The configuration of a model of the hub is taken from ``pipeline/known.yaml``, so that nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.core.document import Document, path_of
from tunesmith.core.errors import RecipeError, nearest
from tunesmith.pipeline.recipe import Recipe
from tunesmith.stages.hub import PREFIX, is_folder
from tunesmith.train.settings import TrainSettings

if TYPE_CHECKING:
    from tunesmith.train.memory import Memory

KNOWN = Path(__file__).parent / "known.yaml"
"""Configurations of models of the hub, by name."""


def of_recipe(recipe: Recipe) -> dict[str, Memory]:
    """The need of each training stage, on one process. Precision is bf16 unless the stage says fp32."""
    import torch

    from tunesmith.train.memory import memory

    found: dict[str, Memory] = {}
    for id, stage in recipe.stages.items():
        settings = getattr(stage, "train", None)
        if isinstance(settings, TrainSettings):
            dtype = torch.float32 if settings.precision == "fp32" else torch.bfloat16
            found[id] = memory(model_of(recipe, id), settings, dtype)
    if not found:
        raise RecipeError(f"{recipe.file} has no stage that trains, so there is no memory to compute.")
    return found


def model_of(recipe: Recipe, id: str) -> Path | Mapping[str, Any]:
    """The configuration, or the folder, of the model that a training stage starts from."""
    model: Any = getattr(recipe.stages[id], "model", None)
    if isinstance(model, Mapping):
        return model
    if model in recipe.stages:
        return model_of(recipe, model)
    return shape_of(str(model))


def shape_of(model: str) -> Path | Mapping[str, Any]:
    """A model's folder, or the configuration of one of the hub that is in the table."""
    if is_folder(model):
        return path_of(model)
    table = known()
    name = model.removeprefix(PREFIX).partition("@")[0]
    if name not in table:
        close = nearest(name, table)
        hint = f" Did you mean {close!r}?" if close else ""
        raise RecipeError(
            f"The shape of {name} is not in the table of known models.{hint} Download it and name its folder."
        )
    return table[name]


def known() -> dict[str, dict[str, Any]]:
    """Configurations by the name of the model on the hub."""
    value: dict[str, dict[str, Any]] = Document.open(KNOWN).value
    return value


def line(recipe: Recipe, name: str) -> str:
    """The comment on memory that a shipped recipe carries, with the command that computes it again."""
    (need,) = of_recipe(recipe).values()
    return (
        f"# Memory: {need.total / 1e9:.2f} GB = {need.parts()},\n"
        f"# in {need.precision} on one GPU, without activations. Computed on the meta device, from the shape, by:\n"
        f"#   tunesmith recipe memory {name}"
    )
