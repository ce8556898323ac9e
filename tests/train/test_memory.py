"""The computed memory is what a training really allocates, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.models.lowrank import adapters
from tunesmith.train.assemble import Machine, assemble
from tunesmith.train.memory import CODES, Memory, four_bits, memory
from tunesmith.train.parallel import Ranks
from tunesmith.train.settings import TrainSettings

LLAMA = {
    "model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False, "max_position_embeddings": 128,
}  # fmt: skip
T5 = {
    "model_type": "t5", "vocab_size": 96, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4,
    "num_decoder_layers": 2, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 4,
    "num_experts_per_tok": 2, "max_position_embeddings": 128,
}  # fmt: skip


def size(*tensors: Tensor | None) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def measured(machine: Machine, held: int) -> tuple[int, int, int, int]:
    """Frozen, trained, gradients and optimizer: the bytes of the tensors that are there."""
    w, o, net = machine.weights, machine.optimizer, machine.policy.model
    frozen = sum(size(p) for p in net.parameters() if not p.requires_grad)
    for _, layer in adapters(net):
        if layer.magnitude is not None:
            frozen += size(layer._squares)  # type: ignore[arg-type]
        if layer.frozen.__class__.__name__ == "_FourBits":
            state: Any = layer.frozen.state
            frozen += size(layer.frozen.packed, state.absmax, state.code, state.offset)
            frozen += size(state.state2.absmax, state.state2.code)
    optimizer = size(o.momentum, o.m, o.v, o.small.m, o.small.v, o.small.m_scales, o.small.v_scales)
    return frozen, size(w.compute, w.low), size(w.grad), optimizer


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw"},
        {"optimizer": "adamw8"},
        {"freeze": ["model.embed_tokens", "model.layers.0"]},
        {"adapter": {"rank": 4}},
        {"adapter": {"rank": 8, "targets": ["q_proj", "down_proj"], "dora": True}},
        {"adapter": {"rank": 4, "bits": 4}},
    ],
)
def test_it_is_what_is_allocated(settings: Mapping[str, Any], precision: str) -> None:
    same(LLAMA, settings, precision)


@pytest.mark.parametrize("config", [{**LLAMA, "tie_word_embeddings": True}, GPT_OSS, T5])
@pytest.mark.parametrize("settings", [{}, {"adapter": {"rank": 4}}])
def test_of_other_families(config: dict[str, Any], settings: Mapping[str, Any]) -> None:
    same(config, settings, "bf16")


def same(config: dict[str, Any], settings: Mapping[str, Any], precision: str) -> None:
    if (settings.get("adapter") or {}).get("bits"):
        pytest.importorskip("bitsandbytes")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    wanted = TrainSettings.model_validate({**settings, "row_length": 64})
    need = memory(config, wanted, dtype)
    machine = assemble(config, wanted, Ranks(), dtype, ())
    assert (need.frozen, need.weights, need.gradients, need.optimizer) == measured(machine, dtype.itemsize)
    assert need.total == sum(measured(machine, dtype.itemsize)) and need.precision == precision


def test_by_hand(tmp_path: Path) -> None:
    """One embedding of 10 x 4, an output layer of its own, no layers: 40 + 40 weights and a norm of 4."""
    config = {**LLAMA, "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 0, "num_attention_heads": 1}
    config["num_key_value_heads"] = 1
    need = memory(config, TrainSettings.model_validate({}), torch.bfloat16)
    assert need == Memory(0, 84 * 4, 84 * 4, 84 * 8, trained=84, precision="bf16")
    assert need.parts() == "0.00 trained weights + 0.00 gradients + 0.00 optimizer"


def test_four_bits_by_hand() -> None:
    """64 x 256 numbers: 8,192 bytes, 256 scales of a byte, one scale of theirs."""
    assert four_bits(64 * 256) == 8192 + 256 + 4 + CODES
