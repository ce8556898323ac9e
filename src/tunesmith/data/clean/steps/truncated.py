"""``truncated``: an answer that was cut off.

Certain signs: a code block that is never closed, a last character that must be followed by something. One sign needs a
longer answer: several sentences, the last of which does not end. A list, a table, a
formula, code, a title or a link may end without a full stop.
"""

from __future__ import annotations

import re

from pydantic import Field

from tunesmith.core.settings import MOST_WORDS
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, count_words

_GOES_ON = re.compile(
    r"(?:[,;，；、(（\[{]|\b(?:the|a|an|and|or|of|to|with|in|for|because|that|which))\Z", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]）」』]*(?:\s|\Z)|[。！？]")
_CLOSED = re.compile(r"[.!?…。！？:：\"'”’)\]）」』>`*_|$~\d]\Z")
_NOT_PROSE = re.compile(r"\s*(?:[-*•#>|=]|\d+[.)、]|\$|https?:|[A-Za-z]\))")


class Truncated(Step):
    """Drop an answer that was cut off."""

    least: int = Field(
        default=40, ge=1, le=MOST_WORDS, description="Words that an answer must have to be missed its full stop."
    )

    def clean(self, row: Conversation) -> Conversation | str:
        text = answer(row).rstrip()
        if text.count("```") % 2:
            return "the answer is cut off: a code block is not closed"
        if _CLOSED.search(text) or not text:
            return row
        tail = text[-400:]
        last = tail.rpartition("\n")[2]
        if count_words(text) < self.least or _NOT_PROSE.match(last):
            return row
        if _GOES_ON.search(tail):
            return "the answer is cut off: something must follow its last word"
        if len(_SENTENCE_END.findall(text)) >= 2 and count_words(last) >= 4:
            return "the answer is cut off: its last sentence has no end"
        return row
