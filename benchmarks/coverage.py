"""Do 95 % intervals hold the truth 95 times of 100? Simulated for rates, win rates and paired differences.

    python benchmarks/coverage.py [--runs 2000] [--kinds rate,win,paired] [--groups 3,5,10,20,50] [--seed 0]

Each cell draws clustered answers many times and counts how often the interval holds the true mean. Answers of a group
are correlated by a beta-binomial: at rho = 0 not at all, at rho = 1 a group has one answer. Sizes of groups: ``one``
question each, ``equal`` (10), ``large`` (50), ``unequal`` (2 to 40), and ``half`` (the first group holds half of all
questions). Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.evals.statistics.score_test import DIFFERENCE, RATE, score_test

GROUPS = (3, 5, 10, 20, 50)
SIZES = ("one", "equal", "large", "unequal", "half")
RATES = (0.02, 0.1, 0.5, 0.9, 0.98)
RHO = (0.0, 0.1, 0.3, 0.6, 1.0)
CHANGES = ((0.0, 0.0), (0.02, 0.02), (0.02, 0.08), (0.1, 0.1), (0.1, 0.4), (0.3, 0.3), (0.05, 0.9))
"""How many answers a change makes wrong, and how many right."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulated case."""

    kind: str
    sizes: str
    groups: int
    rho: float
    truth: tuple[float, ...]
    held: float
    """How often the interval holds the truth."""
    width: float
    """The mean width of the interval, of a few runs."""


def sizes(name: str, groups: int) -> Counts:
    """Questions in each group."""
    if name == "half":
        return np.array([6 * (groups - 1), *[6] * (groups - 1)])
    if name == "unequal":
        return np.array([(2, 5, 10, 20, 40)[i % 5] for i in range(groups)])
    return np.full(groups, {"one": 1, "equal": 10, "large": 50}[name])


def drawn(random: np.random.Generator, size: Counts, shares: tuple[float, ...], rho: float) -> Counts:
    """[groups, outcomes]: how many questions of each group have each outcome (Dirichlet-multinomial)."""
    shares_of = np.array(shares)
    if rho == 0:
        chances = np.broadcast_to(shares_of, (len(size), len(shares)))
    elif rho == 1:
        chances = random.multinomial(1, shares_of, len(size)).astype(float)
    else:
        alpha = np.maximum(shares_of * (1 - rho) / rho, 1e-9)
        gamma = np.maximum(random.gamma(alpha, size=(len(size), len(shares))), 1e-300)
        chances = gamma / gamma.sum(1, keepdims=True)
    return np.stack([random.multinomial(n, chance) for n, chance in zip(size, chances, strict=True)])


def held(
    random: np.random.Generator, kind: str, name: str, groups: int, rho: float, truth: tuple[float, ...], runs: int
) -> Cell:
    """Simulate one case."""
    size = sizes(name, groups)
    group = np.repeat(np.arange(groups), size)
    if kind == "rate":
        values, shares = (1.0, 0.0), (truth[0], 1 - truth[0])
    elif kind == "win":  # a fifth of the matches are ties
        values, shares = (1.0, 0.5, 0.0), (0.8 * truth[0], 0.2, 0.8 * (1 - truth[0]))
    else:
        values, shares = (-1.0, 0.0, 1.0), (truth[0], 1 - sum(truth), truth[1])
    mean = float(np.dot(values, shares))
    inside, widths = 0, []
    for run in range(runs):
        outcomes = drawn(random, size, shares, rho)
        x = np.concatenate([np.repeat(values, row) for row in outcomes])
        test = score_test(x, group, groups, DIFFERENCE if kind == "paired" else RATE)
        inside += test.p(mean) >= 0.05
        if run < 20:
            low, high = test.bounds()
            widths.append(high - low)
    return Cell(kind, name, groups, rho, truth, inside / runs, float(np.mean(widths)))


def cells(kinds: list[str], groups: list[int], runs: int, seed: int = 0) -> Iterator[Cell]:
    """All cases; those that would be the same are there once."""
    for kind in kinds:
        for name in SIZES:
            for many in groups:
                for rho in RHO if name != "one" else (0.0,):
                    for truth in CHANGES if kind == "paired" else [(rate,) for rate in RATES]:
                        random = np.random.default_rng([seed, many, SIZES.index(name), round(10 * rho)])
                        yield held(random, kind, name, many, rho, truth, runs)


def table(found: list[Cell]) -> str:
    """By kind, sizes and number of groups: the mean, lowest and highest coverage of all cells."""
    lines = ["| | sizes | " + " | ".join(f"{g} groups" for g in sorted({c.groups for c in found})) + " |"]
    lines.append("|---|---|" + "---|" * len({c.groups for c in found}))
    for kind in dict.fromkeys(c.kind for c in found):
        for name in dict.fromkeys(c.sizes for c in found):
            texts = []
            for many in sorted({c.groups for c in found}):
                here = [100 * c.held for c in found if (c.kind, c.sizes, c.groups) == (kind, name, many)]
                texts.append(f"{np.mean(here):.1f} ({min(here):.1f} to {max(here):.1f})" if here else "")
            lines.append(f"| {kind} | {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--kinds", default="rate,win,paired")
    parser.add_argument("--groups", default=",".join(map(str, GROUPS)))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = list(cells(args.kinds.split(","), [int(g) for g in args.groups.split(",")], args.runs, args.seed))
    print(table(found))
    lowest = sorted(found, key=lambda cell: cell.held)[:12]
    for cell in lowest:
        print(f"lowest: {asdict(cell)}")
    print(json.dumps({"benchmark": "coverage", "runs": args.runs, "cells": len(found), "lowest": lowest[0].held}))


if __name__ == "__main__":
    main()
