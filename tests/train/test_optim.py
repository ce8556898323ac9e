"""The optimizers against torch's own and bitsandbytes', and the rates that they are given."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tunesmith.models.load import load_model
from tunesmith.train.eightbit import EightBit, steps
from tunesmith.train.optim import BETAS, EPS, Kind, Optimizer, Schedule, Weights, orthogonalise, rate_at

MODEL = {
    "model_type": "llama",
    "vocab_size": 60,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
CPU = torch.device("cpu")


def learn(model: nn.Module, step: int) -> torch.Tensor:
    ids = torch.randint(60, (4, 12), generator=torch.Generator().manual_seed(step % 3))
    loss: torch.Tensor = model(input_ids=ids, labels=ids).loss
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def ours(model: nn.Module, optimizer: Kind, many: int, *, decay: float = 0.0, lr: float = 1e-3) -> list[float]:
    weights = Weights(model, optimizer=optimizer, dtype=torch.float32)
    moves = Optimizer(weights, weight_decay=decay)
    losses = []
    for step in range(many):
        losses.append(float(learn(model, step).detach()))
        moves.step(lr)
    weights.finish()
    return losses


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_is_that_of_torch(decay: float) -> None:
    model = load_model(MODEL)
    other = copy.deepcopy(model)
    matrices = [p for p in other.parameters() if p.ndim > 1]
    vectors = [p for p in other.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    torchs = torch.optim.AdamW(groups, lr=1e-3, betas=BETAS, eps=EPS)
    for step in range(10):
        learn(other, step)
        torchs.step()
        torchs.zero_grad()
    ours(model, "adamw", 10, decay=decay)
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-6), name


def test_eight_bits_learn_as_well() -> None:
    start = load_model(MODEL)
    exact, small = copy.deepcopy(start), copy.deepcopy(start)
    losses = ours(exact, "adamw", 60), ours(small, "adamw8", 60)
    assert losses[0][-1] < 0.5 * losses[0][0]
    assert abs(losses[1][-1] - losses[0][-1]) < 0.05 * (losses[0][0] - losses[0][-1])
    moved, apart = (
        sum(float((a - b).detach().pow(2).sum()) for a, b in zip(x.parameters(), y.parameters(), strict=True))
        for x, y in ((start, exact), (small, exact))
    )
    assert 0 < apart < 0.01 * moved


def test_eight_bits_are_those_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    values = torch.randn(8, 512)
    for signed, x in ((True, values), (False, values**2)):
        code = functional.create_dynamic_map(signed).float()
        assert torch.allclose(steps(signed=signed, device=CPU), code, atol=1e-7)
        # Some versions of theirs write -1 into the table that they are given.
        quantized = functional.quantize_blockwise(x, code=code.clone(), blocksize=256)
        theirs = functional.dequantize_blockwise(*quantized).view(-1)
        moments = EightBit([(8, 512)], CPU)
        moments.put(0, 0, x.reshape(-1), x.reshape(-1).abs())
        mine = moments.take(0, 0, x.numel())[0 if signed else 1]
        # What differs lies about in the middle between two steps; theirs on CPU takes the farther one more often.
        assert float(torch.isclose(mine, theirs, rtol=1e-4).float().mean()) > 0.95
        largest = x.view(-1, 256).abs().amax(1, keepdim=True)
        nearest = (x.view(-1, 256)[..., None] - largest[..., None] * code).abs().amin(-1).view(-1)
        assert torch.allclose((mine - x.reshape(-1)).abs(), nearest, atol=1e-3 * float(largest.max()))
        assert float((mine - x.reshape(-1)).abs().max()) <= 1.05 * float((theirs - x.reshape(-1)).abs().max())


def test_moments_begin_at_nothing_and_scales_end_with_rows() -> None:
    moments = EightBit([(3, 688), (2, 31), (1, 1031)], CPU)
    assert moments.shares == (172, 31, 1031)
    for i, size in enumerate((3 * 688, 2 * 31, 1031)):
        m, v = moments.take(i, 0, size)
        assert not m.any() and not v.any()
    row = torch.full((31,), 5.0)
    moments.put(1, 31, row, row)
    assert not moments.take(1, 0, 31)[0].any() and not moments.take(0, 0, 3 * 688)[0].any()
    assert torch.equal(moments.take(1, 31, 62)[0], row)


@pytest.mark.parametrize("kind", ["muon", "adamw", "adamw8"])
def test_all_that_is_remembered_is_in_the_state(kind: Kind) -> None:
    """One that has loaded the state of another takes the same steps, to the last bit."""
    model = load_model(MODEL)
    weights = Weights(model, optimizer=kind, dtype=torch.float32)
    first = Optimizer(weights, weight_decay=0.1)
    for step in range(4):
        learn(model, step)
        first.step(1e-3)
    again = load_model(MODEL, seed=5)
    others = Weights(again, optimizer=kind, dtype=torch.float32)
    second = Optimizer(others, weight_decay=0.1)
    assert len({piece.name for piece in first.state}) == len(first.state)
    for a, b in zip(first.state, second.state, strict=True):
        assert (a.name, a.shape) == (b.name, b.shape)
        b.data.copy_(a.data)
    for step in range(4, 8):
        for net, moves in ((model, first), (again, second)):
            learn(net, step)
            moves.step(1e-3)
    assert torch.equal(weights.compute, others.compute)


def test_muon_moves_in_all_directions_alike() -> None:
    torch.manual_seed(0)
    for shape in ((2, 32, 64), (1, 64, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape) * torch.logspace(-1, 0, shape[-1])).float())
        assert float(values.min()) > 0.3 and float(values.max()) < 1.3
    losses = ours(load_model(MODEL), "muon", 30, lr=3e-3)
    assert losses[-1] < 0.5 * losses[0]


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [rate_at(s, 100, 1.0, 0.1, 0.4) for s in range(100)]
    assert rates[0] < rates[5] < rates[10] == 1.0 == rates[50]
    assert rates[60] > rates[80] > rates[99] >= 0


def test_schedules_by_hand() -> None:
    def rates(schedule: Schedule) -> list[float]:
        return [rate_at(s, 12, 1.0, 1 / 6, 0.5, schedule) for s in range(12)]

    assert rates("linear") == pytest.approx([0.5, 1.0, *(x / 10 for x in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1))])
    wave = [(1 - math.cos(math.pi * x / 10)) / 2 for x in range(10, 0, -1)]
    assert rates("cosine") == pytest.approx([0.5, 1.0, *wave])
    assert rates("wsd") == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, *(x / 6 for x in (5, 4, 3, 2, 1))])
