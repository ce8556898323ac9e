"""``empty``: a row without an answer, or with an empty question."""

from __future__ import annotations

from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step


class Empty(Step):
    """Drop a row without an answer, or with a turn of the user that is empty."""

    on: bool = True

    def clean(self, row: Conversation) -> Conversation | str:
        last = row.messages[-1] if row.messages else None
        if last is None or last.role != "assistant":
            return "has no answer"
        if not last.content.strip() and not last.tool_calls:
            return "the answer is empty"
        if any(m.role == "user" and not m.content.strip() for m in row.messages):
            return "a turn of the user is empty"
        return row
