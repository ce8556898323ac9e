"""The repeated layers of a model, found by their place and not by what a release calls their class."""

from __future__ import annotations

from torch import nn


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers of a model, those of each stack in order: what stands in its lists of modules, the outermost ones.

    A list counts when it holds a tenth of the weights or more, so that lists of small parts (the norms of an adapter,
    the heads of a classifier) are left to what is around them. No layer lies inside another.
    """
    total = sum(p.numel() for p in model.parameters())
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():  # what is outside comes first
        if not isinstance(module, nn.ModuleList) or id(module) in inside or len(module) < 2:
            continue
        if sum(p.numel() for p in module.parameters()) * 10 >= total:
            found += list(module)
            inside |= {id(m) for m in module.modules()}
    return found
