"""``language``: the language of a row, and whether it is a wanted one.

A script that only one language uses decides by itself; otherwise py3langid does, from the first letters of the answer,
or of the question if the answer is short. Below ``sure`` the row's own word counts.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import Field

from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, question

LETTERS = 200
"""Enough to be right 998 times in 1,000 on English prompts of the T0 mixture."""
_BY_SCRIPT = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
}
_ENGLISH = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "that",
        "what",
        "which",
        "this",
        "with",
        "for",
        "are",
        "was",
        "from",
        "have",
        "not",
        "they",
    ]
)
"""Words that hardly any other language writes so: two of them, and one word in ten, are enough."""
_OTHER_SCRIPT = re.compile(r"[\u0370-\uffff]")
_LETTER = re.compile(r"[^\W\d_]")


class Language(Step):
    """Write down each row's language, and drop those that are not wanted."""

    keep: list[str] = Field(default_factory=list, description="Codes such as en, zh. None: keep all, write it down.")
    sure: float = Field(default=0.5, ge=0, le=1, description="Below this the row's own word counts.")

    def clean(self, row: Conversation) -> Conversation | str:
        said = answer(row)
        text = said if len(said) >= 40 or len(said.encode("utf-8", "surrogatepass")) >= 60 else question(row)
        code, chance = identify(text)
        if code != row.language and chance >= self.sure:
            row = replace(row, language=code)
        if self.keep and row.language not in self.keep:
            return f"is in another language: {row.language}"
        return row


def identify(text: str) -> tuple[str, float]:
    """The language of a text, and how sure that is."""
    head = text[:LETTERS]
    words = head.lower().split()
    if len(_ENGLISH.intersection(words)) >= 2 and 10 * sum(map(_ENGLISH.__contains__, words)) >= len(words):
        return "en", 1.0
    if not head.isascii() and _OTHER_SCRIPT.search(head):
        letters = len(_LETTER.findall(head))
        for code, pattern in _BY_SCRIPT.items():
            share = len(pattern.findall(head)) / max(1, letters)
            if share > (0.1 if code == "ja" else 0.4):
                return code, 1.0
    if sum(map(str.isalpha, head)) < 10:
        return "und", 0.0
    code, chance = _identifier().classify(head)
    return str(code), float(chance)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
