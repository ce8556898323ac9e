"""An attention of ours in a model of transformers: it is called, what it does not know is refused, it goes again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.models.test_packed import APART, FAMILIES, documents_by_definition, make
from tunesmith.core.errors import TrainError
from tunesmith.models.attention import NAME, Packed, packed_attention
from tunesmith.models.hf import varlen
from tunesmith.models.hf.attention import exchange, implementation, own_attention, restore
from tunesmith.models.policy import Policy

CHANGED = (
    "transformers no longer calls a registered attention function. Look at AttentionInterface and "
    "set_attn_implementation in its release notes, and adapt tunesmith/models/hf/attention.py."
)


def test_the_exchanged_attention_is_called_by_every_layer() -> None:
    model = make("llama", FAMILIES["llama"])
    assert exchange(model, NAME), CHANGED
    packed = Packed.of([3, 4])
    model.base_model(input_ids=torch.arange(7)[None], position_ids=packed.positions[None], packed=packed)
    assert len(packed.asked) == 2, CHANGED


def test_a_model_that_keeps_its_own_attention_is_known() -> None:
    falcon = make("falcon", APART["falcon"])
    before = implementation(falcon)
    assert not exchange(falcon, NAME) and implementation(falcon) == before, CHANGED
    # A release that says nothing: the name is set, and the model computes what it did.
    model = make()
    policy = Policy(model)
    model.config._attn_implementation = "sdpa"
    policy.check()
    assert not policy.packs and "computes its attention itself" in policy.why


def test_the_own_attention_comes_back() -> None:
    model = make()
    before = implementation(model)
    exchange(model, NAME)
    with own_attention(model):
        assert implementation(model) == before, CHANGED
        model(input_ids=torch.arange(4)[None])
    assert implementation(model) == NAME
    restore(model)
    assert implementation(model) == before
    with own_attention(model):
        assert implementation(model) == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"s_aux": torch.ones(2)}, "s_aux"),
        ({"position_bias": torch.ones(1), "softcap": 3.0}, "position_bias"),
        ({"a_keyword_of_the_future": 0.5}, "a_keyword_of_the_future"),
        ({"is_causal": False}, "is_causal=False"),
        ({"attention_mask": torch.ones(1, 1, 3, 3)}, "a mask of its own"),
    ],
)
def test_what_is_not_known_is_refused(asked: dict[str, Any], said: str) -> None:
    q, packed = torch.randn(1, 2, 3, 8), Packed.of([3])
    with pytest.raises(TrainError, match=f"asks its attention for {said}"):
        packed_attention(nn.Identity(), q, q, q, **{"attention_mask": None, "packed": packed, **asked})


def test_what_asks_for_nothing_is_not_refused() -> None:
    q, packed = torch.randn(1, 2, 3, 8), Packed.of([3])
    harmless = {"s_aux": None, "output_attentions": False, "is_causal": True, "position_ids": packed.positions[None]}
    plain = packed_attention(nn.Identity(), q, q, q, None, packed=packed)[0]
    assert torch.equal(packed_attention(nn.Identity(), q, q, q, None, packed=packed, **harmless)[0], plain)  # type: ignore[arg-type]


def test_a_kernel_that_is_not_there_or_gives_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_windows(*given: torch.Tensor, scale: float) -> torch.Tensor:
        return given[0]

    def blind(*given: Any, **named: Any) -> Any:
        return given[0]

    like = torch.zeros(1)
    for kernel in (None, without_windows, blind):
        monkeypatch.setattr(varlen, "varlen_attn", kernel)
        assert not varlen._works(like)
    monkeypatch.setattr(varlen, "varlen_attn", documents_by_definition)
    assert varlen._works(like)
