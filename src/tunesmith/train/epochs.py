"""How many steps a training takes in which each row is seen so many times.

The plan draws documents by their shares until a batch has its tokens. So the steps follow from the lengths of the rows,
the shares and the size of a batch alone, and are the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from fractions import Fraction

from tunesmith.core.errors import DataError
from tunesmith.core.settings import MOST_STEPS
from tunesmith.plan import TokenStore
from tunesmith.train.objectives import OBJECTIVES
from tunesmith.train.settings import TrainSettings
from tunesmith.train.validation import apart


def in_steps(
    settings: TrainSettings,
    objective: str,
    sources: Mapping[str, TokenStore],
    shares: Mapping[str, float],
    besides: Collection[str] = (),
) -> TrainSettings:
    """The settings with a number of steps where they have a number of epochs. Sources that stand ``besides``, as text
    that is rehearsed, are drawn by their shares, and their rows are not counted."""
    if settings.epochs is None:
        return settings
    usable = {name: OBJECTIVES[objective].usable(store) for name, store in sources.items()}
    held_back = apart(sources, usable, settings.validation)
    rows, in_draw, counted = 0, Fraction(0), Fraction(0)
    for name, store in sources.items():
        lengths = store.lengths[usable[name] & ~held_back[name]]
        share = Fraction(shares[name]).limit_denominator(10**9)
        if not len(lengths) or not share:
            continue
        in_draw += share * Fraction(int(lengths.sum()), len(lengths))
        if name not in besides:
            counted += share
            rows += len(lengths)
    if not rows:
        raise DataError(f"epochs: {settings.epochs:g} has no meaning, as there is no row to learn from.")
    draws = Fraction(settings.epochs).limit_denominator(10**6) * rows / counted
    steps = math.ceil(draws * in_draw / settings.batch_tokens)
    if steps > MOST_STEPS:
        raise DataError(f"epochs: {settings.epochs:g} are {steps:,} steps here, more than {MOST_STEPS:,}.")
    return settings.model_copy(update={"steps": max(1, steps), "epochs": None})
