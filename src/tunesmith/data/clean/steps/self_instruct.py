"""``self_instruct``: the rules by which Self-Instruct (Wang et al. 2022, ``bootstrap_instructions.py`` and
``generate_instances.py`` of its authors) throws away what a model made up, each counted by itself:

instructions of three words or fewer, or more than 150; those that speak of what a text model cannot see or do (image,
graph, file, ...); those that ask to "write a program", which the model confused with programs for the task; those that
begin with a mark or with a letter outside ASCII (unless the row says that it is in another language); answers that are
the input, that are empty, or whose input or answer ends with a colon. Near-copies go by the step ``novelty``.
"""

from __future__ import annotations

import re
import string

from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, answer, count_words, question

_CANNOT = re.compile(
    r"\b(?:image|images|graph|graphs|picture|pictures|file|files|map|maps|draw|plot|go to)\b", re.IGNORECASE
)
LEAST, MOST = 4, 150


class SelfInstruct(Step):
    """Drop what Self-Instruct's own rules drop."""

    def clean(self, row: Conversation) -> Conversation | str:
        instruction, _, given = question(row).strip().partition("\n")
        said = answer(row).strip()
        words = count_words(instruction)
        if words < LEAST:
            return f"the instruction is too short: {words} words"
        if words > MOST:
            return f"the instruction is too long: {words} words"
        if found := _CANNOT.search(instruction):
            return f"the instruction is about what a text model cannot see: {found.group()}"
        if instruction.startswith("Write a program"):
            return "the instruction asks for a program"
        if instruction[0] in string.punctuation:
            return "the instruction begins with a mark"
        if row.language == "en" and not instruction[0].isascii():
            return "the instruction does not begin in English"
        if not said:
            return "the answer is empty"
        if given.strip() and given.strip() == said:
            return "the answer is the input"
        if given.strip().endswith(":"):
            return "the input ends with a colon"
        if said.endswith(":"):
            return "the answer ends with a colon"
        return row
