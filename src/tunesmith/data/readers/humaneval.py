"""The reader ``humaneval``: the beginning of a function, and the tests that the whole of it has to pass; and
``mbpp``: what a program shall do, and tests. The metric is ``passes``; the answer to learn is the solution that comes
with the row."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from tunesmith.core.types import Conversation
from tunesmith.data.readers.shape import ask, digest, first_of, items, list_of, maybe, name_of, need
from tunesmith.data.tasks.reader import Found, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task


@row_reader("humaneval", sign=has("prompt", "test", "entry_point", weight=4))
def humaneval(row: Any, task: Task) -> Iterator[Found]:
    begin, tests, entry = need(row, "prompt"), need(row, "test"), need(row, "entry_point")
    check = {"id": "python", "begin": begin, "tests": f"{tests}\ncheck({entry})", "entry": entry}
    solution = begin + maybe(row, "canonical_solution")
    question = f"Complete this Python function.\n\n```python\n{begin.rstrip()}\n```"
    answer = f"```python\n{solution.rstrip()}\n```"
    id = name_of(row, "task_id") or digest(begin, tests)
    yield Conversation(ask(question, answer), id=id, answers=(answer,), checks=(check,), metric="passes")


@row_reader("mbpp", sign=has("code", "test_list", weight=4))
def mbpp(row: Any, task: Task) -> Iterator[Found]:
    wish, tests = first_of(row, "prompt", "text"), items(row, "test_list")
    if not tests or not all(isinstance(test, str) for test in tests):
        raise Unusable("`test_list` has no tests")
    imports = list_of(row, "test_imports")
    if not all(isinstance(line, str) for line in imports):
        raise Unusable("`test_imports` holds something that is no text")
    before = [maybe(row, "test_setup_code"), *imports]
    check = {"id": "python", **_tests("\n".join([*before, *tests]), need(row, "code"))}
    question = f"{wish.strip()}\n\nThe program has to pass these tests:\n\n```python\n" + "\n".join(tests) + "\n```"
    answer = f"```python\n{need(row, 'code').strip()}\n```"
    id = name_of(row, "task_id") or digest(wish, *tests)
    yield Conversation(ask(question, answer), id=id, answers=(answer,), checks=(check,), metric="passes")


def _tests(tests: str, code: str) -> dict[str, Any]:
    """Tests, with the imports that only the solution has, and what they take from the program: the names that the
    solution defines."""
    try:
        program, used = ast.parse(code), {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"tests": tests}
    imports, entry = [], []
    for node in program.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if used & {(alias.asname or alias.name).partition(".")[0] for alias in node.names}:
                imports.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            entry.append(node.name)
        elif isinstance(node, ast.Assign):
            entry += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return {"tests": "\n".join([*imports, tests]), "entry": [name for name in dict.fromkeys(entry) if name in used]}
