"""The text to pretrain on: the little world's sentences in short passages.

A sentence alone always begins at the same place, and a model learns the sentence. In passages of one to three
sentences, in another order each time, what a fact is about stands now here and now there, and a model learns the
fact. That is what lets it answer a question that is worded in no way the text ever was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tunesmith.littleworld.world import LANGUAGES, statements

LONGEST = 3
COPIES = 2
_BETWEEN = {"en": " ", "zh": ""}


def passages(seed: int) -> Iterator[str]:
    """Every sentence ``COPIES`` times, each time in another passage of its language."""
    rng = random.Random(f"{seed} passages")
    for _ in range(COPIES):
        for language in LANGUAGES:
            sentences = [statement.text for statement in statements(language)]
            rng.shuffle(sentences)
            at = 0
            while at < len(sentences):
                count = rng.randint(1, LONGEST)
                yield _BETWEEN[language].join(sentences[at : at + count])
                at += count
