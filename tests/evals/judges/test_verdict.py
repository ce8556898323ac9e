"""Verdicts in the forms that judges write them, English and Chinese. What is ambiguous is not read."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from tunesmith.evals.judges.verdict import TIE, verdict

PLACES = {"A": 0, "B": 1, "tie": TIE, "-": None}
FORMS = [
    (json.loads(f'"{text}"'), PLACES[want])
    for want, text in (
        line.split("\t")
        for line in Path(__file__).with_name("verdicts.tsv").read_text(encoding="utf-8").split("\n")
        if line
    )
]
"""Texts of judges of two answers, and what they say."""


@pytest.mark.parametrize(("text", "want"), FORMS)
def test_forms(text: str, want: int | None) -> None:
    assert verdict(text, 2) == want


def test_there_are_enough_forms() -> None:
    assert len(dict(FORMS)) >= 200
    assert all(sum(want == kind for _, want in FORMS) >= 30 for kind in PLACES.values())


@pytest.mark.parametrize(("text", "want"), [form for form in FORMS if form[1] in (0, 1)])
def test_a_reason_before_changes_nothing(text: str, want: int | None) -> None:
    for reason in ("Both answers name the capital; the first one also explains why.", "两个回答都提到了首都。"):
        assert verdict(f"{reason}\n\n{text}", 2) == want


def test_more_than_two_answers() -> None:
    assert verdict("[[C]]", 3) == 2 and verdict("Answer D is best.", 4) == 3 and verdict("[[D]]", 3) is None
    assert verdict("[[A]], [[B]] or [[C]]", 3) is None and verdict("B > A > C", 3) == 1
    assert verdict("[[I]]", 9) == 8 and verdict("I prefer C.", 9) == 2


def test_any_text_is_read_or_not_and_quickly() -> None:
    chance = random.Random(2)
    parts = ["[[", "]]", "A", "B", " is better", " tie", " not ", "«", "»", "\n", "or", ">", "更好", "不", ".", "?"]
    parts += ["[[A]]", "\\boxed{", "}", "\x00", "\ud800"]
    for _ in range(2000):
        assert verdict("".join(chance.choices(parts, k=chance.randint(0, 12))), 2) in PLACES.values()
    begun = time.process_time()
    for text in ("A is better " * 100_000, "[" * 300_000, "not " * 100_000 + "A", "a" * 1_000_000, "A > " * 50_000):
        verdict(text, 2)
    assert time.process_time() - begun < 5
