"""What the shipped recipes say of memory is what is computed, and the shapes are those of the models on the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.core.errors import RecipeError
from tunesmith.models.fresh import size_of
from tunesmith.pipeline import recipe
from tunesmith.pipeline.memory import known, line, of_recipe, shape_of

FAMILIES = sorted(
    file.stem for file in recipe.BUILT_IN.glob("*.yaml") if file.stem.rpartition("-")[2] in ("full", "lora", "qlora")
)

ON_THE_HUB = {
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "google/gemma-3-1b-it": 999_885_952,
    "openai/gpt-oss-20b": 20_914_757_184,
    "lmsys/gpt-oss-20b-bf16": 20_914_757_184,
    "google-t5/t5-base": 222_903_552,
    "google-t5/t5-large": 737_668_096,
}


def test_there_are_recipes_for_the_families() -> None:
    assert {name.rpartition("-")[0] for name in FAMILIES} == {"qwen3", "llama3", "gemma3", "gpt-oss", "t5"}
    assert set(known()) == set(ON_THE_HUB)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_comment_is_what_is_computed(name: str) -> None:
    text = recipe.find(name).read_text(encoding="utf-8")
    assert line(recipe.load(name), name) in text


@pytest.mark.parametrize("model", list(ON_THE_HUB))
def test_the_shapes_are_those_of_the_hub(model: str) -> None:
    shape = shape_of(f"hub:{model}")
    assert not isinstance(shape, Path)
    assert size_of(shape).parameters == ON_THE_HUB[model]


def test_lora_on_an_8b_model_by_hand() -> None:
    """Qwen3 8B: 8,190,735,360 weights of two bytes. Each of 36 layers has adapters of 16 numbers for each input and
    output: q 4096 + 4096, k and v 4096 + 1024, o 4096 + 4096, gate and up 4096 + 12288, down 12288 + 4096."""
    trained = 36 * 16 * (2 * 8192 + 2 * 5120 + 3 * 16384)
    need = of_recipe(recipe.load("qwen3-lora"))["tune"]
    assert need.trained == trained == 43_646_976
    assert (need.frozen, need.weights, need.gradients) == (2 * 8_190_735_360, 4 * trained, 4 * trained)
    assert need.optimizer == 8 * trained


def test_full_by_hand() -> None:
    """Every weight: four bytes exactly, four of gradient, eight of AdamW."""
    need = of_recipe(recipe.load("qwen3-full"))["tune"]
    assert need.total == 16 * 1_720_574_976


def test_overrides_count() -> None:
    small, large = (
        of_recipe(recipe.load("qwen3-lora", {"tune.train.adapter.rank": rank}))["tune"].trained for rank in (8, 32)
    )
    assert large == 4 * small


def test_a_model_that_starts_from_a_stage() -> None:
    found = of_recipe(recipe.load("quickstart"))
    assert found["pretrain"] == found["with_none"] and found["pretrain"].trained > 1_000_000


def test_an_unknown_model_is_told() -> None:
    with pytest.raises(RecipeError, match=r"not in the table of known models. Did you mean 'Qwen/Qwen3-8B'\?"):
        shape_of("hub:Qwen/Qwen3-8")
    with pytest.raises(RecipeError, match="has no stage that trains"):
        of_recipe(recipe.parse("name: x\nstages:\n  build: {kind: build}\n"))
