"""Words and letters that must or must not occur."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunesmith.evals.constraints.check import CHECKS, found, holds


@CHECKS.add("keywords:existence")
def existence(text: str, *, zh: bool, keywords: Sequence[str]) -> bool:
    """Each keyword occurs, also inside a word."""
    return all(found(word, text) for word in keywords)


@CHECKS.add("keywords:frequency")
def frequency(text: str, *, zh: bool, keyword: str, frequency: int, relation: str) -> bool:
    """A keyword occurs so often, also inside words."""
    return holds(len(found(keyword.strip(), text)), relation, frequency)


@CHECKS.add("keywords:forbidden_words")
def forbidden_words(text: str, *, zh: bool, forbidden_words: Sequence[str]) -> bool:
    """None of the words occurs. Inside another word it may, but not in Chinese, which has no spaces between words."""
    if zh:
        return not any(found(re.escape(word), text) for word in forbidden_words)
    return not any(found(rf"\b{word}\b", text) for word in forbidden_words)


@CHECKS.add("keywords:letter_frequency")
def letter_frequency(text: str, *, zh: bool, letter: str, let_frequency: int, let_relation: str) -> bool:
    """A letter or a character occurs so often, in either case."""
    return holds(text.lower().count(letter.strip().lower()), let_relation, let_frequency)
