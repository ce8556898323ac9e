"""``echo``: an answer that repeats the question.

Short questions are allowed: "Repeat after me: yes" is answered "yes", and a word is spelled as itself.
"""

from __future__ import annotations

from pydantic import Field

from tunesmith.core.settings import MOST_WORDS
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, question


class Echo(Step):
    """Drop an answer that repeats the whole prompt, alone or before it goes on."""

    least: int = Field(default=8, ge=1, le=MOST_WORDS, description="Words that a prompt must have to be recognised.")

    def clean(self, row: Conversation) -> Conversation | str:
        asked, said = question(row).strip(), answer(row).strip()
        # The cheap check first: nearly all answers differ from the question in the first letters.
        if len(said) < len(asked) * 0.8 or said[:3].lower() != asked[:3].lower():
            return row
        asked, said = " ".join(asked.lower().split()), " ".join(said.lower().split())
        long_enough = len(asked.split()) >= self.least or (not asked.isascii() and len(asked) >= 2 * self.least)
        if long_enough and said.startswith(asked):
            return "the answer repeats the prompt" if said == asked else "the answer begins with the whole prompt"
        return row
