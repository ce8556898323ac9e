"""``safety``: tags for content that a careful person would review before training on it.

The words and phrases stand in ``safety.yaml`` by kind, English and Chinese. A row is tagged ``safety:violence`` when
its texts hold one of them, and stays: refusals, medicine and history speak of the same things. ``drop`` names the kinds
whose rows go.
"""

from __future__ import annotations

import re
import string
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from tunesmith.core.document import shipped
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, tagged, texts

Kind = Literal["profanity", "hate", "sexual", "violence", "self_harm", "weapons", "crime"]


class Safety(Step):
    """Tag rows that speak of violence, weapons, self-harm and the like, or swear."""

    drop: list[Kind] = Field(default_factory=list, description="The kinds whose rows are dropped, not only tagged.")

    def clean(self, row: Conversation) -> Conversation | str:
        text = texts(row).lower()
        by_key, others = _phrases()
        kinds: dict[str, str] = {}
        for key in by_key.keys() & text.translate(_MARKS).split():
            for phrase, kind, pattern in by_key[key]:
                if phrase in text and pattern.search(text):
                    kinds.setdefault(kind, phrase)
        if not text.isascii():
            for phrase, kind in others.items():
                if phrase in text:
                    kinds.setdefault(kind, phrase)
        if not kinds:
            return row
        for kind in self.drop:
            if kind in kinds:
                return f"holds {kind}: {kinds[kind]}"
        return tagged(row, *(f"safety:{kind}" for kind in sorted(kinds)))


@cache
def _phrases() -> tuple[dict[str, list[tuple[str, str, re.Pattern[str]]]], dict[str, str]]:
    """Phrases of words, each under its longest word, which a text must hold; and phrases of a script without spaces."""
    every = shipped(Path(__file__).with_suffix(".yaml"))
    by_key: dict[str, list[tuple[str, str, re.Pattern[str]]]] = {}
    others: dict[str, str] = {}
    for kind, languages in every.items():
        for phrase in (str(phrase) for some in languages.values() for phrase in some):
            if phrase.isascii():
                key = max(phrase.translate(_MARKS).split(), key=len)
                by_key.setdefault(key, []).append((phrase, kind, re.compile(rf"\b{re.escape(phrase)}\b")))
            else:
                others[phrase] = kind
    return by_key, others


_MARKS = {ord(mark): " " for mark in string.punctuation + "’"}
