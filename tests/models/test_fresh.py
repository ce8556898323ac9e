"""Whether a configuration makes a model, and how large, is known without making it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tunesmith.core.errors import TrainError
from tunesmith.models.fresh import size_of
from tunesmith.models.load import load_model

LLAMA: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 128,
}  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"model_type": "mixtral", "num_local_experts": 4},
    {"model_type": "qwen3_moe", "num_local_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2},
    {"model_type": "gemma2", "head_dim": 16},
]


def test_the_size_is_that_of_the_model() -> None:
    made = load_model(LLAMA)
    size = size_of(LLAMA)
    assert size.parameters == sum(p.numel() for p in made.parameters())
    assert size.in_embeddings == 512 * 64
    assert str(size) == f"{size.parameters / 1000:.3g} k parameters, 32.8 k of them in embeddings"


def test_a_large_one_takes_no_memory() -> None:
    large = LLAMA | {
        "vocab_size": 128256, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "tie_word_embeddings": False,
    }  # fmt: skip
    assert str(size_of(large)) == "70.6 B parameters, 1.05 B of them in embeddings"


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other["model_type"])
def test_models_that_look_at_values_are_fine(other: dict[str, Any]) -> None:
    assert size_of({**LLAMA, **other}).parameters > 50_000


def test_an_encoder_decoder_and_a_state_space_model() -> None:
    t5 = {"model_type": "t5", "vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    mamba = {"model_type": "mamba", "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    assert size_of(t5).parameters > 10_000 and size_of(mamba).parameters > 5_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": -4}, ""),
        ({"hidden_size": 0}, ""),
        ({"hidden_size": math.nan}, "'hidden_size' expected int, got float"),
        ({"hidden_size": "x"}, "'hidden_size' expected int, got str"),
        ({"hidden_size": 10**12}, ""),
        ({"hidden_size": 66}, "not a multiple of the number of attention heads"),
        ({"num_key_value_heads": 3}, ""),
        ({"num_attention_heads": 0}, ""),
        ({"vocab_size": -3}, "negative dimension"),
        ({"hidden_act": "nope"}, "nope"),
        ({"model_type": "lama"}, "Did you mean 'llama'?"),
        ({"model_type": ""}, "is not known"),
        ({"model_type": ["a"]}, ""),
        ({"hiden_size": 3}, "Did you mean 'hidden_size'?"),
        ({"rope_parameters": 3}, ""),
    ],
)
def test_what_makes_no_model_is_told_in_a_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainError) as caught:
        size_of({**LLAMA, **change})
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert 25 < len(str(caught.value)) < 500
