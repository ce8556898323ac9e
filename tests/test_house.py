"""Who may import whom, drawn as a table. A new arrow fails until somebody means it and adds it here.

Every import statement counts, also those inside functions and under TYPE_CHECKING: an arrow is an arrow. The rooms of
``data`` and ``evals`` have rows of their own. The table is read from bottom to top: a room may import only what stands
above it in the table. And no two files may import each other, not even by way of others.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "tunesmith"

# room -> the rooms that it may import, besides core
ALLOWED: dict[str, set[str]] = {
    "core": set(),  # types, errors, registry, YAML, settings, the machine: below everything
    "pages": set(),  # style and plots of any page
    "jail": set(),  # runs programs that nobody has read
    # data: from files to conversations. It does not know chat: a conversation is not yet tokens.
    "data.text": set(),  # words, n-grams and hashes of texts
    "data.files": set(),  # bytes to rows
    "data.store": set(),  # conversations as Parquet
    "data.tasks": {"data.files"},  # what a task, a template and a reader are
    "data.readers": {"data.files", "data.tasks"},  # a file for each form of rows
    "data.load": {"data.files", "data.tasks", "data.readers", "data.text", "pages"},  # from paths to tasks and examples
    "data.clean": {"data.text"},
    "data.leaks": {"data.files", "data.tasks", "data.load", "data.text", "data.store"},
    "data.builds": {
        "data.text", "data.files", "data.store", "data.tasks", "data.readers", "data.load", "data.clean", "data.leaks",
        "pages",
    },
    "data.writers": {"data.tasks"},  # conversations to the forms that others read
    "data": {"data.builds", "data.clean", "data.leaks", "data.load", "data.readers", "data.tasks"},
    "littleworld": {"data.tasks", "data.readers"},
    "chat": set(),  # does not know data: any messages will do
    "plan": set(),  # lengths, not texts
    "models": set(),
    "engine": {"models"},
    "train": {"plan", "models"},  # never sees text
    "ask": {"models", "engine"},  # questions and answers; knows no metric and no suite
    "evals.statistics": set(),
    "evals.constraints": {"data.clean"},
    "evals.sandbox": {"jail"},
    "evals.metrics": {"data.clean", "evals.constraints", "evals.sandbox"},
    "evals": {"evals.metrics"},
    "evals.records": {"evals.metrics", "evals.statistics"},  # an answer and its score
    "evals.leaked": {"data.leaks", "evals.records"},
    "evals.corpus": {"evals.metrics", "evals.records", "evals.statistics"},
    "evals.asking": {
        "ask", "data", "data.files", "data.load", "data.tasks", "evals.corpus", "evals.metrics", "evals.records",
        "models",
    },
    "evals.judges": {"ask", "evals.records", "evals.statistics", "models"},
    "evals.compare": {"data.clean", "evals.leaked", "evals.metrics", "evals.records", "evals.statistics", "pages"},
    "evals.harness": {"evals.records", "evals.statistics", "models"},
    "evals.report": {"data.builds", "evals.corpus", "evals.leaked", "evals.records", "evals.statistics", "pages"},
    "evals.viewer": {
        "data.leaks", "evals.asking", "evals.compare", "evals.records", "evals.statistics", "pages",
    },
    "evals.evaluation": {
        "ask", "data.leaks", "evals.asking", "evals.compare", "evals.corpus", "evals.harness", "evals.leaked",
        "evals.records", "evals.viewer",
    },
    "align": {"plan", "models", "engine", "train", "evals.metrics", "evals.judges", "evals.sandbox"},
    "synth": {"ask", "data.tasks", "data.load", "data.clean", "evals.metrics", "evals.judges", "evals.sandbox"},
    "serve": {"chat", "models", "engine", "pages"},
    "label": {"pages"},
    "stages": {
        "data.builds", "data.clean", "data.files", "data.leaks", "data.load", "data.store", "data.tasks", "data.text",
        "littleworld", "chat", "plan", "models", "engine", "train", "ask", "align", "synth", "evals.asking",
        "evals.corpus", "evals.judges", "evals.leaked", "evals.metrics", "evals.records", "evals.report",
        "evals.viewer",
    },
    # recipes, running them, ablations; a first recipe looks at the data and the model that it is for
    "pipeline": {
        "stages", "train", "evals.compare", "evals.records", "data.files", "data.load", "data.tasks", "models",
    },
    # what `import tunesmith` offers: it calls what recipes call, so it may import all of that
    "api": {
        "data.builds", "data.clean", "data.load", "data.tasks", "chat", "plan", "models", "engine", "train", "ask",
        "align", "synth", "evals", "evals.asking", "evals.constraints", "evals.evaluation", "evals.metrics",
        "evals.records", "stages", "pipeline",
    },
    "cli": {
        "api", "data.builds", "data.clean", "data.leaks", "data.load", "data.store", "data.tasks", "data.text",
        "data.writers",
        "chat", "models", "engine", "ask", "serve", "label", "evals.asking", "evals.compare", "evals.corpus",
        "evals.evaluation", "evals.harness", "evals.judges", "evals.leaked", "evals.records", "evals.report",
        "evals.statistics", "evals.viewer", "stages", "pipeline", "pages",  # of pages the language: --lang
    },
}  # fmt: skip
LONGEST = 80
"""Lines of a function."""
FILES_OF_THEIR_OWN = ("data", "evals")
"""Rooms whose parts are rooms."""


def room_of(module: str) -> str:
    """The room of a module, named without the package."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in FILES_OF_THEIR_OWN else parts[0]


def modules(src: Path) -> dict[str, Path]:
    """Every module of the package but the top one, by its name without the package."""
    found = {}
    for file in sorted(src.rglob("*.py")):
        parts = file.relative_to(src).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = file
    return found


def imports(src: Path, module: str, known: dict[str, Path]) -> list[tuple[int, str]]:
    """Line and module of everything of ours that a module imports."""
    file = known[module]
    package = ["tunesmith", *file.relative_to(src).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inside = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("tunesmith.") in known else base for name in inside]
        for name in names:
            ours = name.removeprefix("tunesmith.")
            if name.startswith("tunesmith.") and ours != module:
                found.append((node.lineno, ours))
    return found


def wrong_arrows(src: Path, allowed: dict[str, set[str]]) -> list[str]:
    """Every arrow that the table does not have, as ``file:line``."""
    known = modules(src)
    wrong = []
    for module, file in known.items():
        room = room_of(module)
        for line, target in imports(src, module, known):
            to = room_of(target)
            if to not in (room, "core") and to not in allowed.get(room, set()):
                wrong.append(f"{file.relative_to(src)}:{line}: {room} -> {to}")
    return wrong


def circle(src: Path) -> list[str]:
    """Files that import each other, if there are any."""
    known = modules(src)
    graph = {module: {to for _, to in imports(src, module, known) if to in known} for module in known}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_new_arrow() -> None:
    assert wrong_arrows(SRC, ALLOWED) == []


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in modules(SRC)} <= set(ALLOWED)


def test_no_arrow_up() -> None:
    order = list(ALLOWED)
    up = [(room, to) for room in order for to in ALLOWED[room] if order.index(to) >= order.index(room)]
    assert up == []


def test_no_two_files_import_each_other() -> None:
    assert circle(SRC) == []


def test_no_function_is_longer_than_a_screen_or_two() -> None:
    long = []
    for file in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > LONGEST:
                    long.append(f"{file.relative_to(SRC)}:{node.lineno}: {node.name}")
    assert long == []


def test_a_new_arrow_is_seen(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "loop.py").write_text(
        "import os\n\ndef f():\n"
        "    from tunesmith import chat\n    from ..data.task import Task\n    import tunesmith.plan.plan\n"
    )
    assert wrong_arrows(tmp_path, {**ALLOWED, "tunesmith": set()}) == [
        "train/loop.py:5: train -> data.task",
    ]
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").touch()
    assert wrong_arrows(tmp_path, ALLOWED)[0] == "train/loop.py:4: train -> chat"


def test_a_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "plan").mkdir()
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / "plan" / f"{one}.py").write_text(f"def f():\n    from tunesmith.plan import {other}\n")
    assert set(circle(tmp_path)) == {"plan.a", "plan.b", "plan.c"}
