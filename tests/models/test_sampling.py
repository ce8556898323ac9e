"""What decides how tokens are drawn is checked before a model runs."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.core.errors import EvalError
from tunesmith.models import generate as generation
from tunesmith.models.generate import Sampling

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": NAN}, {"temperature": INF}, {"temperature": -INF}, {"temperature": -0.1}, {"temperature": 1e-300},
     {"temperature": 5e-324}, {"top_p": NAN}, {"top_p": INF}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_p": -INF},
     {"seed": -1}, {"seed": 1 << 64}, {"seed": 10**24}, {"seed": 1.0}, {"seed": NAN}, {"seed": True}, {"seed": "7"},
     {"numbers": (0, -1)}, {"numbers": (1 << 64,)}],
)  # fmt: skip
def test_what_is_no_sampling_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EvalError, match="wanted"):
        Sampling(**wrong)


def test_the_ends_of_what_is_allowed() -> None:
    Sampling(0.0, 1.0, (1 << 64) - 1, (0, (1 << 64) - 1))
    Sampling(1e-4)
    Sampling(1e300)


def test_numbers_stand_for_places() -> None:
    plain, named = Sampling(seed=3), Sampling(seed=3, numbers=(5, 1 << 63, 5))
    drawn = [generation._chance(named, place).random() for place in range(3)]
    assert drawn[0] == drawn[2] == generation._chance(plain, 5).random() != drawn[1]
