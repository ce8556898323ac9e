"""A setting is explained as the settings classes have it."""

from __future__ import annotations

import pytest

from tunesmith.core.aliases import FOREIGN
from tunesmith.core.errors import RecipeError
from tunesmith.core.settings import keys_of
from tunesmith.pipeline.explain import Setting, explain, of_kind, settings
from tunesmith.pipeline.recipe import parse
from tunesmith.stages.stage import KINDS


def test_the_learning_rate() -> None:
    tuned, pretrained = explain("train.lr")
    assert tuned == Setting("train.lr", ("sft",), "a number", "3e-4", "above 0, at most 1", "Peak learning rate.")
    assert tuned.place == "stages:\n  tune:\n    kind: sft\n    train:\n      lr: 3e-4"
    assert tuned.option == "--set tune.train.lr=VALUE"
    assert (pretrained.kinds, pretrained.default) == (("pretrain",), "1e-3")


@pytest.mark.parametrize(
    ("name", "way", "kinds"),
    [
        ("sft.train.lr", "train.lr", ("sft",)),
        ("tune.train.lr", "train.lr", ("sft",)),
        ("stages.pretrain.train.lr", "train.lr", ("pretrain",)),
        ("rank", "train.adapter.rank", ("sft", "pretrain")),
        ("adapter.rank", "train.adapter.rank", ("sft", "pretrain")),
        ("seed", "seed", ()),
        ("per_level", "per_level", ("build",)),
        ("clean.near.threshold", "clean.near.threshold", ("build",)),
        ("load-in-4bit", "train.adapter.bits", ("sft", "pretrain")),
        ("tune.train.learning_rate", "train.lr", ("sft",)),
        ("gradient_accumulation_steps", "train.batch_tokens", ("sft", "pretrain")),
        ("dataset", "tasks", ("build",)),
    ],
)
def test_by_any_name(name: str, way: str, kinds: tuple[str, ...]) -> None:
    assert (explain(name)[0].way, explain(name)[0].kinds) == (way, kinds)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("train.stepps", "Did you mean 'train.steps'?"),
        ("lerning_rate", "Did you mean 'learning_rate'?"),
        ("packing", "There is no setting 'packing': rows are always packed"),
        ("zzzz", "Stages: build, eval, export, "),
    ],
)
def test_what_there_is_not(name: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        explain(name)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_types_in_words() -> None:
    found = {one.way: one for one in of_kind("sft")}
    assert found["train.optimizer"].type == "one of auto, muon, adamw, adamw8"
    assert found["train.adapter"].type == "a mapping with the keys rank, alpha, targets, rs, dora, bits"
    assert found["train.epochs"].bounds == "above 0, at most 10,000"
    assert found["model"].type == "the id of an earlier stage that gives model, a model folder or hub:owner/model"
    assert (found["model"].default, found["train.shard"].default) == ("", "false")
    assert found["train.track"].type == "a list, each one of tensorboard, wandb, trackio, mlflow"
    assert {one.way: one for one in of_kind("build")}["fill"].default == "{}"


def test_every_setting_is_explained() -> None:
    told = {(kind, one.way) for one in settings() for kind in one.kinds}
    for kind in KINDS:
        for way in keys_of(KINDS[kind]).values():
            assert (kind, way) in told
            assert explain(f"{kind}.{way}")
    for name, ours in FOREIGN.items():
        if ours.key:
            assert explain(name)[0].note.startswith("Other trainers call it")


def test_the_place_is_a_recipe() -> None:
    """What is shown can be pasted, with the settings that have no default."""
    (one,) = explain("sft.train.adapter.rank")
    text = one.place.replace("kind: sft", "kind: sft\n    model: hub:a/b\n    data: build")
    text = text.replace("stages:", "name: x\nstages:\n  build: {kind: build}")
    assert parse(text).stages["tune"].train.adapter.rank == 16  # type: ignore[attr-defined]
