"""Adapters learn what the formulas say, are read by PEFT as they were trained, and are merged without a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.test_packed import FAMILIES, make, same_together_and_alone
from tunesmith.core.errors import TrainError, UnknownName
from tunesmith.models.adapter import Adapter
from tunesmith.models.load import load_model
from tunesmith.models.lowrank import LowRank, adapters, attach, freeze, merge, save_adapter, targets
from tunesmith.models.policy import Policy

KINDS = {
    "lora": Adapter(rank=4),
    "rslora": Adapter(rank=4, alpha=3, rs=True),
    "dora": Adapter(rank=4, alpha=8, dora=True),
    "attention": Adapter(rank=2, targets=["attention"]),
    "some": Adapter(rank=2, targets=["up_proj", "layers.1.self_attn.q_proj"]),
}


def stir(model: nn.Module) -> None:
    """As if it had been trained: B is zero at the beginning, and an adapter would say nothing."""
    torch.manual_seed(3)
    with torch.no_grad():
        for _, layer in adapters(model):
            layer.b.normal_(std=0.1)
            if layer.magnitude is not None:
                layer.magnitude.mul_(1 + 0.2 * torch.rand_like(layer.magnitude))


def logits(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.train(False)(input_ids=ids, use_cache=False).logits
    return found


def ids() -> Tensor:
    return torch.arange(3, 33)[None] % 61


def with_adapter(settings: Adapter, family: str = "llama") -> PreTrainedModel:
    model = make(family, FAMILIES[family])
    attach(model, settings, seed=5)
    return model


@pytest.mark.parametrize("dora", [False, True])
def test_outputs_and_gradients_are_those_of_the_formula(dora: bool) -> None:
    torch.manual_seed(0)
    base = nn.Linear(12, 9, dtype=torch.float64)
    layer = LowRank(base, Adapter(rank=3, alpha=5, dora=dora), torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.b.normal_()
    x = torch.randn(2, 7, 12, dtype=torch.float64, requires_grad=True)
    inputs = [x, layer.a, layer.b, *([layer.magnitude] if dora else [])]
    weight = base.weight + 5 / 3 * layer.b @ layer.a
    if dora:
        assert layer.magnitude is not None
        weight = weight * (layer.magnitude / torch.linalg.vector_norm(weight.detach(), dim=1))[:, None]
    want = x @ weight.t() + base.bias
    got = layer(x)
    assert torch.allclose(got, want, atol=1e-6 if dora else 1e-12)
    grad = torch.randn_like(want)
    for ours, plain in zip(
        torch.autograd.grad(got, inputs, grad), torch.autograd.grad(want, inputs, grad), strict=True
    ):
        assert torch.allclose(ours, plain, atol=1e-5 if dora else 1e-11)


@pytest.mark.parametrize(
    ("family", "kind"),
    [(f, k) for f in ("llama", "gpt2", "phi3", "gemma2") for k in KINDS if k != "some" or f in ("llama", "gemma2")],
)
def test_peft_reads_it_and_merging_changes_nothing(family: str, kind: str, tmp_path: Path) -> None:
    base = make(family, FAMILIES[family])
    base.save_pretrained(tmp_path / "base")
    model = load_model(tmp_path / "base")
    attach(model, KINDS[kind], seed=5)
    before = logits(base, ids())
    assert torch.allclose(logits(model, ids()), before, atol=1e-6)  # an adapter begins as nothing
    stir(model)
    ours = logits(model, ids())
    assert not torch.allclose(ours, before, atol=1e-2)
    save_adapter(model, tmp_path / "adapter", KINDS[kind], base=str(tmp_path / "base"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter")
    assert torch.allclose(logits(theirs, ids()), ours, atol=2e-5)
    merged = merge(model, load_model(tmp_path / "base"))
    assert not list(adapters(merged))
    assert torch.allclose(logits(merged, ids()), ours, atol=2e-5)


def test_four_bits_are_merged_as_they_were_trained(tmp_path: Path) -> None:
    model = make("llama", {"hidden_size": 64, "intermediate_size": 128})
    model.save_pretrained(tmp_path)
    exact = logits(model, ids())
    attach(model, Adapter(rank=4, bits=4), seed=5)
    frozen = [layer.frozen for _, layer in adapters(model)]
    assert sum(f.packed.numel() for f in frozen) * 2 == sum(f.dense().numel() for f in frozen)
    rounded = logits(model, ids())
    assert 1e-4 < (rounded - exact).abs().max() < 0.5
    stir(model)
    ours = logits(model, ids())
    merged = merge(model, load_model(tmp_path))
    assert torch.allclose(logits(merged, ids()), ours, atol=2e-5)
    # The adapter's notes say on which base it holds: the plain one gives other logits, one in four bits the same.
    save_adapter(model, tmp_path / "adapter", Adapter(rank=4, bits=4), base="my/base")
    notes = (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")
    assert "`my/base`" in notes and "in four bits (NF4 in blocks of 64, with double quantisation)" in notes
    plain = peft.PeftModel.from_pretrained(load_model(tmp_path), tmp_path / "adapter")
    assert (logits(plain, ids()) - ours).abs().max() > 1e-4
    rounded_base = load_model(tmp_path)
    for name, layer in adapters(model):
        rounded_base.get_submodule(name).weight.data = layer.weight()
    theirs = peft.PeftModel.from_pretrained(rounded_base, tmp_path / "adapter")
    assert torch.allclose(logits(theirs, ids()), ours, atol=2e-5)
    save_adapter(with_adapter(Adapter(rank=4)), tmp_path / "other", Adapter(rank=4), base="my/base")
    assert "NF4" not in (tmp_path / "other" / "README.md").read_text(encoding="utf-8")
    policy = Policy(model)
    policy.check()
    same_together_and_alone(policy, [7, 1, 40, 90, 12])


@pytest.mark.parametrize("kind", KINDS)
def test_packed_is_unpacked(kind: str) -> None:
    model = with_adapter(KINDS[kind])
    stir(model)
    policy = Policy(model)
    policy.check()
    assert policy.packs
    same_together_and_alone(policy, [7, 1, 40, 90, 3, 12, 90])


def test_only_the_adapter_learns() -> None:
    model = with_adapter(Adapter(rank=4))
    trained = {name.rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"a", "b"}
    assert len(list(adapters(model))) == 2 * 7  # two layers of seven matrices; the output layer is not among them


def test_targets_that_mean_nothing_are_told() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'q_proj'"):
        targets(make(), ["q_prj"])
    assert targets(make(), ["attention"]) == [f"model.layers.{i}.self_attn.{n}_proj" for i in (0, 1) for n in "qkvo"]


def test_parts_can_be_frozen() -> None:
    model = make()
    freeze(model, ["model.embed_tokens", "model.layers.0.*"])
    still = [n for n, p in model.named_parameters() if p.requires_grad]
    assert still and not any(n.startswith(("model.embed", "model.layers.0.")) for n in still)
    with pytest.raises(TrainError, match=r"'model.embed_token'.* Did you mean 'model.embed_tokens'"):
        freeze(make(), ["model.embed_token"])
    with pytest.raises(TrainError, match="nothing is left"):
        freeze(make(), ["*"])
