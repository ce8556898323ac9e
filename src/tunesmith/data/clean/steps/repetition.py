"""``repetition``: an answer that repeats itself, as models do when they do not stop.

Two measures, after Gopher (Rae et al. 2021, table A1): the share of the lines that are an earlier line again, and the
share of the words that stand in a run of ``run`` words which the answer has said before.
"""

from __future__ import annotations

from pydantic import Field

from tunesmith.core.settings import MOST_WORDS
from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, words


class Repetition(Step):
    """Drop an answer that repeats itself."""

    lines: float = Field(default=0.5, gt=0, le=1, description="The share of lines said before that is too much.")
    words: float = Field(default=0.5, gt=0, le=1, description="The share of words in runs said before, too.")
    run: int = Field(default=5, ge=2, le=MOST_WORDS, description="Words of a run.")
    least: int = Field(default=30, ge=1, le=MOST_WORDS, description="Words that an answer must have to be judged.")

    def clean(self, row: Conversation) -> Conversation | str:
        text = answer(row)
        if len(text) < self.least:
            return row
        lines = [line for line in text.split("\n") if line and not line.isspace()]
        if len(lines) >= 6:
            share = 1 - len(set(lines)) / len(lines)
            if share > self.lines:
                return f"the answer repeats itself: {share:.0%} of its lines"
        said = words(text)
        if len(said) < self.least:
            return row
        runs = [tuple(said[i : i + self.run]) for i in range(len(said) - self.run + 1)]
        # The cheap bound first: each run that was said before covers at most `run` words.
        if len(set(runs)) > len(runs) * (1 - self.words / self.run):
            return row
        seen: set[tuple[str, ...]] = set()
        again = bytearray(len(said))
        for i, run in enumerate(runs):
            if run in seen:
                again[i : i + self.run] = b"\1" * self.run
            seen.add(run)
        share = sum(again) / len(said)
        return f"the answer repeats itself: {share:.0%} of its words" if share > self.words else row
