"""The decisions are those of ``rouge_score``, on real instructions and on changed copies of them."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from tunesmith.data.clean.novelty import Match, Novelty, spread


def scorer() -> object:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


def by_hand(texts: list[str], seeds: list[str], threshold: float = 0.7) -> list[float | None]:
    """As the authors of Self-Instruct do it: each text against all that are kept."""
    rouge = scorer()
    kept = list(seeds)
    found: list[float | None] = []
    for text in texts:
        best = max((rouge.score(text, other)["rougeL"].fmeasure for other in kept), default=0.0)  # type: ignore[attr-defined]
        found.append(best if best > threshold else None)
        if best <= threshold:
            kept.append(text)
    return found


def decided(texts: list[str], seeds: list[str], threshold: float = 0.7) -> list[float | None]:
    novelty = Novelty(threshold, seeds)
    return [None if match is None else match.score for match in map(novelty.add, texts)]


def changed(text: str, draw: random.Random) -> str:
    words = text.split()
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        words[draw.randrange(len(words))] = draw.choice(("the", "other", "river", ""))
    return " ".join(words)


def test_real_instructions_and_changed_copies(shared_data: Path) -> None:
    with gzip.open(shared_data / "alpaca_random_9k.json.gz", "rt", encoding="utf-8") as file:
        pool = [row["instruction"] for row in json.load(file)][:200]
    with (shared_data / "self_instruct_seed_tasks.jsonl").open(encoding="utf-8") as lines:
        seeds = [json.loads(line)["instruction"] for line in lines][:50]
    draw = random.Random(1)
    texts = [text for t in pool for text in (t, changed(t, draw))] + [changed(t, draw) for t in seeds]
    expected = by_hand(texts, seeds)
    assert decided(texts, seeds) == expected  # to the last digit
    assert 100 < sum(score is not None for score in expected) < 300


@pytest.mark.parametrize("threshold", [0.3, 0.5, 2 / 3, 0.7, 0.9])
def test_edges(threshold: float) -> None:
    texts = ["", "!!", "a", "a", "A b", "a b c", "b a c", "a b c d e f g h i j", "a b c d e f g x y z", "中文", "中文"]
    texts += ["a b a b a b", "b a b a b a", "a a a a", "a a a", "don't stop", "don t stop"]
    assert decided(texts, ["a b c"], threshold) == by_hand(texts, ["a b c"], threshold)


def test_the_most_alike_is_named() -> None:
    novelty = Novelty(seeds=["Write a poem.", "Name three rivers of France."])
    assert novelty.add("Name three rivers of France!") == Match(1, 1.0)
    assert novelty.add("Explain how a bridge is built.") is None
    assert len(novelty) == 3
    found = novelty.add("Explain how the bridge is built.")
    assert found is not None and found.text == 2 and found.score == pytest.approx(5 / 6)


def test_other_scripts_need_other_words() -> None:
    assert Novelty(seeds=["法国的首都是什么"]).add("法国的首都是什么？") is None  # as rouge_score: no word at all
    assert Novelty(seeds=["法国的首都是什么"], words=spread).add("法国的首都是什么？") == Match(0, 1.0)
