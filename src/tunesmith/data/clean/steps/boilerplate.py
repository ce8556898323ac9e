"""``boilerplate``: answers that mention the model that wrote them, and boilerplate refusals.

The phrases stand in ``boilerplate.yaml``, English and Chinese, and are looked for in all turns of the assistant.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pydantic import Field

from tunesmith.core.document import shipped
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step


class Boilerplate(Step):
    """Drop answers that say "as an AI language model" and the like."""

    phrases: list[str] = Field(default_factory=list, description="More phrases that no answer may hold.")

    def clean(self, row: Conversation) -> Conversation | str:
        pattern = _pattern(tuple(self.phrases))
        for message in row.messages:
            if message.role == "assistant":
                found = pattern.search(message.content.lower().replace("’", "'"))
                if found:
                    return f"the answer speaks of the model: {found.group()}"
        return row


@cache
def _pattern(more: tuple[str, ...]) -> re.Pattern[str]:
    every: dict[str, list[str]] = shipped(Path(__file__).with_suffix(".yaml"))
    phrases = [phrase for of_language in every.values() for phrase in of_language]
    return re.compile("|".join(re.escape(phrase.lower()) for phrase in (*phrases, *more)))
