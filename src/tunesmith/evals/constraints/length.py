"""So many words, sentences, paragraphs."""

from __future__ import annotations

import re

from tunesmith.evals.constraints import punkt
from tunesmith.evals.constraints.check import CHECKS, holds, sentences, words


@CHECKS.add("length_constraints:number_words")
def number_words(text: str, *, zh: bool, num_words: int, relation: str) -> bool:
    """So many words; in Chinese, characters."""
    return holds(words(text, zh=zh), relation, num_words)


@CHECKS.add("length_constraints:number_sentences")
def number_sentences(text: str, *, zh: bool, num_sentences: int, relation: str) -> bool:
    """So many sentences, as Punkt divides them; in Chinese, as a reader does."""
    return holds(len(sentences(text) if zh else punkt.sentences(text)), relation, num_sentences)


@CHECKS.add("length_constraints:number_sentences_read")
def number_sentences_read(text: str, *, zh: bool, num_sentences: int, relation: str) -> bool:
    """So many sentences, as a reader divides them: not IFEval's. Punkt takes the "1." of a list for a sentence, and a
    heading or a line without a full stop for the beginning of the next paragraph. For tasks of your own."""
    return holds(len(sentences(text)), relation, num_sentences)


@CHECKS.add("length_constraints:number_paragraphs")
def number_paragraphs(text: str, *, zh: bool, num_paragraphs: int) -> bool:
    """Exactly so many paragraphs between lines of ``***``; none of them is empty."""
    return _count(re.split(r"\s?\*\*\*\s?", text)) == num_paragraphs


@CHECKS.add("length_constraints:nth_paragraph_first_word")
def nth_paragraph_first_word(text: str, *, zh: bool, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs between empty lines, and one of them begins with a word."""
    paragraphs = text.split("\n\n")
    if sum(bool(p.strip()) for p in paragraphs) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    begin = paragraphs[nth_paragraph - 1].strip()
    if zh:
        return begin.lstrip("'\"“‘「").startswith(first_word)
    if not begin:
        return False
    word = begin.split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower() == first_word.lower()


def _count(parts: list[str]) -> int:
    """How many parts there are; the first and the last may be empty and then do not count, others make it -1."""
    if any(not part.strip() for part in parts[1:-1]):
        return -1
    return sum(bool(part.strip()) for part in parts)
