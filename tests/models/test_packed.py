"""Packed computation says what each document alone says, and no document sees another."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from tunesmith.core.errors import TrainError
from tunesmith.models import attention
from tunesmith.models.attention import Packed
from tunesmith.models.head import linear_cross_entropy
from tunesmith.models.hf import varlen
from tunesmith.models.hf.attention import register
from tunesmith.models.load import load_model
from tunesmith.models.policy import Policy

SMALL = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LENGTHS = [7, 1, 40, 90, 3, 12, 90]


OF_GPT2 = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
WINDOW = {"sliding_window": 6, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"head_dim": 16},
    "llama (3)": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 6},
    "gemma": {"head_dim": 8},
    # Weights so large that scores and logits reach their limits.
    "gemma2": {**WINDOW, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 5.0, "initializer_range": 0.3},
    "gemma3_text": WINDOW,
    "phi3": {"pad_token_id": 0},
    "gpt2": OF_GPT2,
    "gpt_neox": {},
    "olmo2": {},
    "olmo3": {},
    "smollm3": {"pad_token_id": 0},
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.25},
    "glm4": {"head_dim": 8, "pad_token_id": 0},
}
"""Causal families that are trained packed."""
APART: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "bloom": {"vocab_size": 61, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "stablelm": {},
    "mamba": {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2},
}
"""Families whose documents stand side by side."""
OWN_NAMES = ("gpt2", "bloom", "falcon", "mamba")


def make(family: str = "llama", fields: dict[str, Any] | None = None) -> PreTrainedModel:
    kind = family.split()[0]
    values = (fields or {}) if kind in OWN_NAMES else {**SMALL, **(fields or {})}
    return load_model(AutoConfig.for_model(kind, **values), seed=1)


def loss_and_grads(policy: Policy, documents: list[torch.Tensor], grain: int = 1) -> tuple[float, list[torch.Tensor]]:
    policy.model.zero_grad()
    packed = Packed.of([len(d) for d in documents], grain=grain)
    ids = torch.cat([*documents, torch.zeros(packed.spare, dtype=torch.long)])
    starts = torch.tensor([0, *torch.tensor([len(d) for d in documents]).cumsum(0).tolist()[:-1]])
    at = torch.ones(len(ids), dtype=torch.bool)
    at[starts] = False
    at[packed.tokens :] = False
    where = at.nonzero()[:, 0]
    if len(where) == 0:
        return 0.0, []
    total = policy.token_loss(policy.hidden(ids, packed)[where - 1], ids[where])
    total.backward()
    return float(total.detach()), [p.grad.clone() for p in policy.model.parameters() if p.grad is not None]


def same_together_and_alone(policy: Policy, lengths: list[int]) -> None:
    """Loss and gradients of all documents together are the sums of those of each alone."""
    policy.model.train(False)  # GPT-2 and others have dropout by default
    torch.manual_seed(0)
    documents = [torch.randint(61, (n,)) for n in lengths]
    together, grads = loss_and_grads(policy, documents)
    alone = [loss_and_grads(policy, [d]) for d in documents]
    assert together == pytest.approx(sum(x for x, _ in alone), rel=1e-6)
    for i, grad in enumerate(grads):
        summed = sum(parts[i] for _, parts in alone if parts)
        assert (grad - summed).norm() <= 1e-6 * grad.norm() + 1e-6


def own_loss(model: PreTrainedModel, document: torch.Tensor) -> float:
    """As transformers would say it."""
    with torch.no_grad():
        logits = model.train(False)(input_ids=document[None], use_cache=False).logits[0].float()
    return float(nn.functional.cross_entropy(logits[:-1], document[1:], reduction="sum"))


@pytest.mark.parametrize("family", [*FAMILIES, "mixtral", "bloom"])
def test_the_loss_is_the_models_own(family: str) -> None:
    model = make(family, {**FAMILIES, **APART}[family])
    document = torch.arange(2, 40) % 61
    wanted = own_loss(model, document)
    policy = Policy(model)
    policy.check()
    loss, _ = loss_and_grads(policy, [document])
    assert loss == pytest.approx(wanted, rel=1e-5)


def test_a_model_that_says_something_else_is_refused() -> None:
    policy = Policy(make())
    policy._scale = 3.0  # as if its logits had a part that is not known here
    with pytest.raises(TrainError, match=r"differ from its own.*cannot be trained packed either"):
        policy.check()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernel", ["fused", "general", "of GPUs"])
def test_packed_is_unpacked(family: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "of GPUs":
        monkeypatch.setattr(varlen, "varlen_attn", documents_by_definition)
        monkeypatch.setattr(varlen, "available", lambda x: True)
    policy = Policy(make(family, FAMILIES[family]))
    policy.check()
    assert policy.packs and policy.fused, policy.why
    policy.fused = kernel != "general"
    same_together_and_alone(policy, LENGTHS)
    do_not_see_each_other(policy)


def documents_by_definition(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bounds_q: torch.Tensor, bounds_k: torch.Tensor, most_q: int,
    most_k: int, *, scale: float, window_size: tuple[int, int], enable_gqa: bool,
) -> torch.Tensor:  # fmt: skip
    """What torch documents of ``varlen_attn``, which only a GPU has."""
    assert bounds_q.dtype == torch.int32 and torch.equal(bounds_q, bounds_k)
    assert most_q == most_k == int(bounds_q.diff().max())
    left, right = window_size
    assert right == 0 and enable_gqa == (q.shape[1] != k.shape[1])
    found = []
    for a, b in itertools.pairwise(bounds_q.tolist()):
        i = torch.arange(b - a)
        may = (i[:, None] >= i) & ((i[:, None] - i <= left) | (left < 0))
        part = nn.functional.scaled_dot_product_attention(
            *(x[a:b].transpose(0, 1) for x in (q, k, v)), attn_mask=may, scale=scale, enable_gqa=enable_gqa
        )
        found.append(part.transpose(0, 1))
    return torch.cat(found)


def test_a_kernel_that_lets_documents_see_each_other_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(*given: Any, **named: Any) -> torch.Tensor:
        whole = torch.tensor([0, len(given[0])], dtype=torch.int32)
        return documents_by_definition(*given[:3], whole, whole, len(given[0]), len(given[0]), **named)

    monkeypatch.setattr(varlen, "varlen_attn", leaky)
    monkeypatch.setattr(varlen, "available", lambda x: True)
    policy = Policy(make())
    policy.check()
    assert policy.packs and not policy.fused and "see each other" in policy.why
    same_together_and_alone(policy, LENGTHS)


@pytest.mark.parametrize("family", APART)
def test_what_cannot_be_packed_stands_side_by_side(family: str) -> None:
    policy = Policy(make(family, APART[family]))
    policy.check()
    if family != "mixtral":  # some releases compute experts so that no document changes the rounding of another
        assert not policy.packs and policy.why
    same_together_and_alone(policy, [7, 40, 3, 12, 33])


def test_spare_tokens_change_nothing() -> None:
    torch.manual_seed(0)
    policy = Policy(make())
    documents = [torch.randint(61, (n,)) for n in LENGTHS]
    assert Packed.of(LENGTHS, grain=32).spare == -sum(LENGTHS) % 32 > 0
    plain_loss, plain_grads = loss_and_grads(policy, documents)
    loss, grads = loss_and_grads(policy, documents, grain=32)
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    for grad, plain in zip(grads, plain_grads, strict=True):
        assert (grad - plain).norm() <= 1e-5 * plain.norm()


def test_it_is_what_the_model_itself_says() -> None:
    torch.manual_seed(0)
    model = make()
    ids = torch.randint(61, (50,))
    with torch.no_grad():
        want = model(input_ids=ids[None]).logits[0]
        got = Policy(model).logits(ids, Packed.of([50]))
    assert torch.allclose(want, got, atol=1e-5)


def do_not_see_each_other(policy: Policy) -> None:
    """What changes in a document changes nothing of the others, to the last bit."""
    ids = torch.randint(61, (sum(LENGTHS),))
    packed = Packed.of(LENGTHS)
    before = policy.logits(ids, packed)
    start = 0
    for n in LENGTHS:
        changed = ids.clone()
        changed[start : start + n] = (changed[start : start + n] + 1) % 61
        after = policy.logits(changed, packed)
        others = torch.ones(len(ids), dtype=torch.bool)
        others[start : start + n] = False
        assert torch.equal(before[others], after[others])
        assert not torch.equal(before[~others], after[~others])
        start += n


@pytest.mark.parametrize("cap", [0.0, 5.0])
def test_cross_entropy_against_plain_in_float64(cap: float) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(300, 16, dtype=torch.float64, requires_grad=True)
    head = nn.Linear(16, 97, dtype=torch.float64)
    targets = torch.randint(97, (300,))
    inputs = [hidden, head.weight, head.bias]
    ours, each = linear_cross_entropy(hidden, head.weight, targets, head.bias, cap)
    got = torch.autograd.grad(ours, inputs)
    logits = head(hidden)
    logits = cap * torch.tanh(logits / cap) if cap else logits
    plain = nn.functional.cross_entropy(logits, targets, reduction="sum")
    want = torch.autograd.grad(plain, inputs)
    assert torch.allclose(each, nn.functional.cross_entropy(logits, targets, reduction="none"), rtol=1e-12)
    assert float(ours.detach()) == pytest.approx(float(plain.detach()), rel=1e-12)
    for a, b in zip(got, want, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_only_attention_works_on_padding() -> None:
    policy = Policy(make())
    width, inner, kv = 32, 48, 16
    matrices = 2 * (2 * width * width + 2 * width * kv + 3 * width * inner)
    # Two tiles of 64 slots with 4 empty slots in one, and a document of 90 in a tile of 96.
    all_work, idle = policy.work(Packed.of([40, 24, 60, 90]))
    assert idle == (4 * 64 + 6 * 96) * 2 * 2 * width
    assert all_work == 214 * matrices + (2 * 64**2 + 96**2) * 2 * 2 * width
    assert policy.work(Packed.of([40, 24]))[1] == 0
    assert policy.work(Packed.of([40, 20], grain=32))[1] == 4 * matrices


def test_a_rule_for_long_documents_alone_is_seen() -> None:
    """A window that our attention would forget acts on no document of a few tokens."""

    def forgetful(*given: Any, sliding_window: int | None = None, **named: Any) -> Any:
        return attention.packed_attention(*given, **named)

    register(attention.NAME, forgetful)
    try:
        policy = Policy(make("mistral", {"sliding_window": 40}))
        policy.check()
        assert not policy.packs and "on a document of 49 tokens" in policy.why
        policy = Policy(make("mistral", {"sliding_window": 40}))
        policy.check(longest=60)
        assert not policy.packs
        policy = Policy(make("mistral", {"sliding_window": 40}))
        policy.check(longest=30)  # no row is longer, so the window never acts
        assert policy.packs
    finally:
        register(attention.NAME, attention.packed_attention)


@pytest.mark.parametrize("kind", ["gemma4_text", "gemma4"])
def test_a_configuration_with_values_for_each_layer(kind: str) -> None:
    text = {**SMALL, "head_dim": 8, "num_hidden_layers": 4, "vocab_size_per_layer_input": 61, "sliding_window": 6}
    text |= {"hidden_size_per_layer_input": 8, "global_head_dim": 8}
    try:
        config = AutoConfig.for_model(kind, **(text if kind == "gemma4_text" else {"text_config": text}))
    except ValueError:
        pytest.skip("this release of transformers does not know Gemma 4")
    policy = Policy(load_model(config, seed=1))
    policy.check()
    same_together_and_alone(policy, [7, 40, 3, 12, 33])
    assert policy.work(Packed.of([7]))[0] > 0
