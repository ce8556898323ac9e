"""A number in two halves is the number."""

from __future__ import annotations

import torch

from tunesmith.train.split_weights import join, split


def halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high, low = torch.empty_like(x, dtype=torch.bfloat16), torch.empty_like(x, dtype=torch.int16)
    split(x, high, low)
    return high, low


def test_joined_it_is_what_was_split() -> None:
    torch.manual_seed(0)
    x = torch.randn(1 << 20) * torch.exp(8 * torch.randn(1 << 20))
    x[:6] = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-38, -3e38])
    high, low = halves(x)
    assert torch.equal(high, x.to(torch.bfloat16))
    back = join(high, low)
    middle = (x.view(torch.int32) & 0xFFFF) == 0x8000
    assert torch.equal(back[~middle], x[~middle])
    assert 0 < middle.sum() < 100
    assert ((back.view(torch.int32) - x.view(torch.int32)).abs() <= 1).all()


def test_small_updates_are_not_lost() -> None:
    x = torch.ones(4)
    high, low = halves(x)
    for _ in range(1000):
        split(join(high, low) + 1e-5, high, low)
    assert torch.allclose(join(high, low), torch.full((4,), 1.01), atol=1e-5)
    assert float(high[0]) > 1.0  # bfloat16 alone would have stayed at 1
