"""``length``: prompts and answers that are too short or too long, in words (characters, in scripts without spaces)."""

from __future__ import annotations

from pydantic import Field

from tunesmith.core.settings import MOST_WORDS
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, count_words


class Length(Step):
    """Drop rows by the number of words."""

    prompt_least: int = Field(
        default=1, ge=0, le=MOST_WORDS, description="Words that all turns before the answer have at least."
    )
    prompt_most: int | None = Field(default=None, ge=1, le=MOST_WORDS, description="Words that they have at most.")
    answer_least: int = Field(default=1, ge=0, le=MOST_WORDS, description="Words that the answer has at least.")
    answer_most: int | None = Field(default=None, ge=1, le=MOST_WORDS, description="Words that it has at most.")

    def clean(self, row: Conversation) -> Conversation | str:
        asked = sum(count_words(m.content) for m in row.prompt)
        said = count_words(answer(row))
        for name, count, least, most in (
            ("prompt", asked, self.prompt_least, self.prompt_most),
            ("answer", said, self.answer_least, self.answer_most),
        ):
            if count < least and not (name == "answer" and row.messages and row.messages[-1].tool_calls):
                return f"the {name} is too short: {count} words, wanted {least}"
            if most is not None and count > most:
                return f"the {name} is too long: {count} words, wanted at most {most}"
        return row
