"""Linear layers, layers, kernels and configurations, by what they do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig

from tests.models.test_packed import APART, FAMILIES, SMALL, make
from tunesmith.models.hf import kernels
from tunesmith.models.hf.blocks import blocks
from tunesmith.models.hf.config import number, reach, setting, windowed
from tunesmith.models.hf.linear import is_linear, matrix, transposed


class Reversed(nn.Module):
    """A linear layer that holds its weight as [inputs, outputs], under a name that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


class Scores(nn.Module):
    """One matrix as well, but not a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ self.weight, -1)


def test_linear_layers_are_known_by_what_they_compute() -> None:
    for layer in (nn.Linear(3, 5), Reversed()):
        x = torch.randn(2, 3)
        assert is_linear(layer) and torch.allclose(x @ matrix(layer).t() + layer.bias, layer(x), atol=1e-6)
    assert not any(map(is_linear, (Scores(), nn.Embedding(3, 5), nn.LayerNorm(4), nn.Sequential(nn.Linear(3, 5)))))
    assert transposed(Reversed()) and not transposed(nn.Linear(3, 5))


def test_the_linear_layers_of_gpt2() -> None:
    model = make("gpt2", FAMILIES["gpt2"])
    found = {type(m).__name__ for m in model.modules() if transposed(m)}
    assert found == {"Conv1D"}, "GPT-2 has other layers now: adapters go to what models/hf/linear.py finds"


@pytest.mark.parametrize("family", [*FAMILIES, *APART])
def test_blocks_are_the_layers(family: str) -> None:
    model = make(family, {**FAMILIES, **APART}[family])
    found = blocks(model)
    assert len(found) == 2 and len({type(m) for m in found}) == 1
    inside = {id(p) for m in found for p in m.parameters()}
    apart = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    apart.add(id(model.get_output_embeddings().weight))
    assert all(id(p) in inside | apart for p in model.parameters() if p.ndim > 1)


def test_blocks_of_an_encoder_and_a_decoder() -> None:
    from tests.models.test_seq2seq import make as make_pair

    assert [len(blocks(make_pair(name))) for name in ("t5", "bart")] == [4, 4]


def test_a_kernel_without_a_public_name_has_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(4, 7, generator=generator), -1)
    grad = torch.randn(4, 7, generator=generator)
    found = kernels.softmax_backward(grad, p)
    assert kernels._has_softmax_backward(), "slower from now on: see models/hf/kernels.py"
    kernels._has_softmax_backward.cache_clear()
    monkeypatch.delattr(torch, "_softmax_backward_data")
    try:
        assert torch.allclose(kernels.softmax_backward(grad, p), found, atol=1e-7)
    finally:
        kernels._has_softmax_backward.cache_clear()


def test_settings_that_a_configuration_does_not_give() -> None:
    class Layered:
        """As Gemma 4's: an attribute that differs between layers raises an error of its own."""

        heads = (2, 4)

        @property
        def head_dim(self) -> int:
            raise RuntimeError("one for each layer")

        def get_text_config(self) -> Layered:
            return self

        def to_dict(self) -> dict[str, object]:
            return {"head_dim": 8}

    config: Any = Layered()
    assert setting(config, "head_dim") == 8 and setting(config, "nothing_of_that_name", 3) == 3
    assert number(config, "heads") == 3 and number(config, "nothing_of_that_name") == 0
    assert number(AutoConfig.for_model("gpt2", n_embd=48), "hidden_size") == 48


def test_how_far_the_rules_of_a_model_reach() -> None:
    def of(kind: str, **fields: object) -> Any:
        return AutoConfig.for_model(kind, **{**SMALL, "max_position_embeddings": 4096, **fields})

    assert reach(of("llama")) == 0
    assert reach(of("mistral", sliding_window=700)) == 700
    assert reach(AutoConfig.for_model("gpt_neo", window_size=300)) == 300
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 2048}
    assert reach(of("llama", rope_parameters=yarn)) == 2048
    assert windowed(of("mistral", sliding_window=6)) and not windowed(of("llama"))
    assert windowed(AutoConfig.for_model("gpt_neo"))
