"""Is the answer after a chain of thought right? The chain of thought itself is not scored.

An answer ends with "the answer is 42.", with GSM8K's "#### 42", or is the answer itself. Of a JSON object the key
``answer`` counts. Punctuation around it, case and commas in large numbers do not matter.
"""

from __future__ import annotations

import json
import re

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy

_SAID = re.compile(r"(?:\banswer(?:\s+is|:)|答案是|答案为|答案：|####)[ :：]*(?=\S)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


def conclusion(text: str) -> str:
    """The conclusion of a chain of thought: what follows "the answer is", "####" or 答案是, or is in a box, whichever
    comes last; else the last line. Text between ``<think>`` marks is ignored.
    """
    text = text.rpartition("</think>")[2].strip()
    said, boxed = list(_SAID.finditer(text)), list(_BOXED.finditer(text))
    if boxed and (not said or boxed[-1].start() > said[-1].end()):
        return boxed[-1][1].strip()
    if said:
        return text[said[-1].end() :].partition("\n")[0].strip().strip(" .。*\"'`“”") or text
    return (text.splitlines() or [""])[-1].strip()


def final(text: str) -> str:
    """What a text gives as its answer, as it is compared."""
    text = tidy(text)
    if text.startswith("{"):
        try:
            value = json.loads(text)
            text = str(value["answer"]) if isinstance(value, dict) and "answer" in value else text
        except ValueError:
            pass
    last = _SAID.split(text)[-1].partition("\n")[0] if _SAID.search(text) else text
    last = re.sub(r"(?<=\d),(?=\d{3})", "", last)
    return last.strip(" \t\n.。\"'`*$").casefold()


@METRICS.add("final_answer")
def final_answer(answer: Answer, row: Conversation) -> float:
    """1 if the conclusion is right."""
    return float(answer.finished and final(answer.text) in {final(gold) for gold in row.answers})
