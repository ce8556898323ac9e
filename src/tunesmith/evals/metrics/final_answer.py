"""Is the answer right that stands at the end of some thoughts? What comes before it is not judged.

An answer ends with "the answer is 42.", with GSM8K's "#### 42", or is the answer itself. Of a JSON object the key
``answer`` counts. Marks around it do not, nor case, nor the commas of large numbers.
"""

from __future__ import annotations

import json
import re

from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer, tidy

_SAID = re.compile(r"(?:\banswer(?:\s+is|:)|答案是|答案为|答案：|####)[ :：]*(?=\S)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


def conclusion(text: str) -> str:
    """What a text that thinks aloud concludes, in its own words: what stands after "the answer is", "####" or 答案是,
    or in a box, whichever comes last; else its last line. What a model thinks between ``<think>`` marks is passed over.
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
    """1 where what is said last is right."""
    return float(answer.finished and final(answer.text) in {final(gold) for gold in row.answers})
