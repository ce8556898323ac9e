"""Does the program in the answer pass its tests? (HumanEval, MBPP and their like.)

A row says in ``checks`` what to run: ``{"id": "python", "tests": ..., "begin": ..., "entry": ...}``. ``begin`` is
what the question has shown of the program; an answer that only goes on with it is put behind it, one that defines
``entry`` itself gets its imports alone. Programs run in ``sandbox``, never in this process.
"""

from __future__ import annotations

import re

from tunesmith.errors import EvalError
from tunesmith.evals.metrics.metric import METRICS, Answer
from tunesmith.evals.sandbox import run_python
from tunesmith.types import Conversation

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE | re.IGNORECASE
)


def program_in(text: str) -> str:
    """The code of an answer: what its fences hold, or all of it."""
    blocks: list[str] = _FENCE.findall(text)
    return "\n".join(blocks) if blocks else text


@METRICS.add("passes")
def passes(answer: Answer, row: Conversation) -> float:
    """1 where the program comes to the end of its tests."""
    orders = [check for check in row.checks if check.get("id") == "python"]
    if not orders:
        raise EvalError(f"{row.id}: it is to pass tests and names none; wanted checks: [{{id: python, tests: ...}}].")
    code, begin, entry = program_in(answer.text), str(orders[0].get("begin", "")), str(orders[0].get("entry", ""))
    if entry and re.search(rf"^(?:async )?def {re.escape(entry)}\b", code, re.MULTILINE):
        begin = "\n".join(line for line in begin.splitlines() if line.startswith(("import ", "from ")))
        code = f"{begin}\n{code}"
    else:
        code = begin + code
    return float(all(run_python(f"{code}\n{order['tests']}\n").ended for order in orders))
