"""The pretraining text: every sentence as often as any other, never in the same company."""

from collections import Counter

from tunesmith.littleworld import passages, statements
from tunesmith.littleworld.passages import COPIES


def test_every_sentence_is_there_as_often() -> None:
    text = list(passages(1))
    letters = Counter("".join(text))
    want = Counter("".join(s.text for s in statements() for _ in range(COPIES)))
    assert {c: n for c, n in letters.items() if c != " "} == {c: n for c, n in want.items() if c != " "}
    some = [s.text for s in statements()][::2000]
    whole = "\n".join(text)
    assert all(whole.count(sentence) >= COPIES for sentence in some)


def test_the_seed_decides() -> None:
    assert list(passages(1)) == list(passages(1)) != list(passages(2))


def test_languages_are_not_mixed_in_a_passage() -> None:
    first = next(iter(passages(1)))
    assert first.isascii() or "é" in first
