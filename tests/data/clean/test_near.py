from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tunesmith.data.clean.near import Prints, PrintsOnDisk, duplicates, jaccard, prints


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefgh") for _ in range(5)) for _ in range(count)]


def grams(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"[\u4e00-\u9fff]|[^\W_]+", text.lower())
    return {tuple(found[i : i + 5]) for i in range(max(1, len(found) - 4))} if found else set()


TEXTS = [
    "the cat sat on the mat and looked at the dog",
    "The cat, sat on the mat; and looked at the dog!",
    "one two three",
    "one two four",
    "One two three.",
    "",
    "?!",
    "法国的首都是巴黎，它在塞纳河上。",
    "法国的首都是巴黎它在塞纳河上",
    "x " * 50,
    "no word of this stands in any other text here",
]


def test_shingles_are_the_word_fives_of_each_text() -> None:
    printed = prints(TEXTS)
    assert printed.sizes().tolist() == [len(grams(text)) for text in TEXTS]
    for i, a in enumerate(TEXTS):
        for j, b in enumerate(TEXTS):
            x, y = grams(a), grams(b)
            expected = len(x & y) / len(x | y) if x | y else 0.0
            assert jaccard(printed.of(i), printed.of(j)) == pytest.approx(expected), (a, b)


def test_the_first_of_each_group_is_kept() -> None:
    assert duplicates(prints(TEXTS)).tolist() == [0, 0, 2, 3, 2, 5, 6, 7, 7, 9, 10]


def test_an_empty_set_and_a_single_text() -> None:
    assert duplicates(prints([])).tolist() == []
    assert duplicates(prints([""])).tolist() == [0]
    assert duplicates(prints(["a", "a"])).tolist() == [0, 0]


def test_planted_copies_are_found_and_nothing_else() -> None:
    """The oracle knows every pair: planted by hand, with the overlap worked out by itself."""
    draw = random.Random(3)
    texts = [words(i, draw.randint(60, 200)) for i in range(400)]
    for i in range(400):
        copy = list(texts[i])
        for _ in range(draw.choice((0, 1, 2, 3, 8))):
            copy[draw.randrange(len(copy))] = "changed"
        texts.append(copy)
    said = [" ".join(text) for text in texts]
    keepers = duplicates(prints(said)).tolist()
    missed = wrong = close = 0
    for i in range(400):
        x, y = grams(said[i]), grams(said[400 + i])
        overlap = len(x & y) / len(x | y)
        close += overlap >= 0.8
        missed += overlap >= 0.8 and keepers[400 + i] != i
        wrong += overlap < 0.8 and keepers[400 + i] != 400 + i
    assert close > 150
    assert missed <= 0.02 * close
    assert wrong == 0
    assert keepers[:400] == list(range(400))


def test_the_threshold_decides() -> None:
    base = " ".join(words(1, 100))
    other = " ".join([*words(1, 100)[:90], *words(2, 10)])  # 86 of 106 fives in common
    assert duplicates(prints([base, other]), 0.80).tolist() == [0, 0]
    assert duplicates(prints([base, other]), 0.85).tolist() == [0, 1]


def test_slices_give_the_slices_of_the_whole(tmp_path: Path) -> None:
    """Any number of workers: D6, where each worker had a set of its own."""
    texts = [" ".join(words(i % 60, 40)) for i in range(200)] + TEXTS * 3
    whole = prints(texts)
    expected = duplicates(whole).tolist()
    for cuts in ([0, 211 + 22], [0, 1, 50, 50, 200, 233], list(range(234))):
        paths = []
        for a, b in pairwise(cuts):
            path = tmp_path / f"{len(cuts)}.{a:03}.{b:03}"
            prints(texts[a:b]).save(path)
            paths.append(path)
        disk = PrintsOnDisk(paths)
        assert len(disk) == len(texts)
        for band in (0, 7, 19):
            assert np.array_equal(disk.keys(band), whole.keys(band))
        assert all(np.array_equal(disk.of(i), whole.of(i)) for i in range(len(texts)))
        assert duplicates(disk).tolist() == expected
        disk.close()


def test_a_portion_ends_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.data.clean import near

    texts = [" ".join(words(i, 30)) for i in range(50)]
    whole = prints(texts)
    monkeypatch.setattr(near, "_AT_ONCE", 97)
    small = prints(texts)
    assert isinstance(small, Prints)
    assert np.array_equal(whole.hashes, small.hashes)
    assert np.array_equal(whole.band_keys, small.band_keys)


def test_a_chain_has_one_keeper() -> None:
    base = words(5, 200)
    chain = [list(base)]
    for step in range(6):
        copy = list(chain[-1])
        copy[step * 30] = "new"
        copy[step * 30 + 1] = "words"
        chain.append(copy)
    texts = [" ".join(text) for text in chain]
    assert duplicates(prints(texts)).tolist() == [0] * 7
    assert duplicates(prints(texts[::-1])).tolist() == [0] * 7
