"""Text is readable: every colour of text has a contrast of 4.5 (WCAG AA) with all that it stands on, light and dark."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import tunesmith

STYLE = (Path(tunesmith.__file__).parent / "pages" / "style.jinja").read_text("utf-8")
TEXTS = [*product(("ink", "soft", "faint", "tuned", "good", "bad"), ("paper", "card", "wash"))]
TEXTS += [
    ("ink", "tuned-wash"),
    ("soft", "tuned-wash"),
    ("tuned", "tuned-wash"),
    ("good", "tuned-wash"),
    ("paper", "ink"),
]


def colours(scheme: str) -> dict[str, str]:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#\w+);", light))
    return found if scheme == "light" else {**found, **dict(re.findall(r"--([\w-]+): (#\w+);", rest))}


def light_of(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    a, b = sorted((light_of(one), light_of(other)))
    return (b + 0.05) / (a + 0.05)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(scheme: str) -> None:
    known = colours(scheme)
    weak = {pair: round(c, 2) for pair in TEXTS if (c := contrast(known[pair[0]], known[pair[1]])) < 4.5}
    assert weak == {}
