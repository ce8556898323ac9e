"""Does the program in the answer pass its tests? (HumanEval, MBPP and their like.)

A row says in ``checks`` what to run: ``{"id": "python", "tests": ..., "begin": ..., "entry": ...}``. ``begin`` is
the part of the program that the question shows, and ``entry`` the names that the tests use. Programs run in
``sandbox``, never in this process, and their tests run where the program cannot interfere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation
from tunesmith.evals.metrics.metric import METRICS, Answer
from tunesmith.evals.sandbox import run_tests


@METRICS.add("passes")
def passes(answer: Answer, row: Conversation) -> float:
    """1 where the program passes all tests."""
    orders = [check for check in row.checks if check.get("id") == "python"]
    if not orders:
        raise EvalError(f"{row.id}: it is to pass tests and names none; wanted checks: [{{id: python, tests: ...}}].")
    return float(all(_passed(answer.text, order) for order in orders))


def _passed(text: str, order: Mapping[str, Any]) -> bool:
    entry = order.get("entry") or ()
    return run_tests(
        text,
        str(order["tests"]),
        begin=str(order.get("begin", "")),
        entry=[entry] if isinstance(entry, str) else [str(name) for name in entry],
    ).ended
