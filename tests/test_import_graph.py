"""Who may import whom, drawn as a table; a new arrow fails until somebody means it and adds it here.

Every import statement counts, also those inside functions and under TYPE_CHECKING: an arrow is an arrow.
"""

from __future__ import annotations

import ast
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "tunesmith"

# room -> the rooms that it may import. What stands in GROUND is below everything.
GROUND = {"document", "errors", "foreign", "registry", "screen", "settings", "types"}
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "versions": set(),  # which versions of other packages were tested
    "errors": set(),
    "registry": {"errors"},
    "screen": set(),  # consoles and progress
    "document": {"errors"},  # YAML that a person writes
    "foreign": set(),  # what others call our settings
    "settings": {"document", "errors", "foreign"},  # and settings in it
    "jinja": set(),  # templates of others, within limits
    "pages": set(),  # style and plots of any page
    "jail": set(),  # runs programs that nobody has read
    "data": GROUND | {"jinja", "pages"},  # does not know chat: a conversation is not yet tokens
    "chat": GROUND | {"jinja"},  # does not know data: any messages will do
    "plan": GROUND,  # lengths, not texts
    "models": GROUND,
    "train": GROUND | {"plan", "models"},  # never sees text
    "ask": GROUND | {"models"},  # questions and answers; knows no metric and no suite
    "evals": GROUND | {"data", "chat", "models", "pages", "ask", "jail"},
    "serve": GROUND | {"chat", "models"},
    "label": GROUND,
    "littleworld": GROUND | {"data"},
    "ablation": GROUND | {"recipe", "stages", "evals"},
    "recipe": GROUND | {"stages", "data"},
    "stages": GROUND
    | {"recipe", "data", "chat", "plan", "models", "train", "ask", "evals", "serve", "label", "littleworld"},
    "cli": GROUND
    | {
        "versions",
        "ablation",
        "recipe",
        "stages",
        "data",
        "chat",
        "plan",
        "models",
        "train",
        "ask",
        "evals",
        "serve",
        "label",
        "littleworld",
    },
}


def rooms(src: Path) -> dict[str, list[Path]]:
    """The Python files of each room; a file at the top is a room of its own."""
    found: dict[str, list[Path]] = {}
    for file in sorted(src.rglob("*.py")):
        room = file.relative_to(src).parts[0].removesuffix(".py")
        if room != "__init__":
            found.setdefault(room, []).append(file)
    return found


def arrows(file: Path, src: Path) -> list[tuple[int, str]]:
    """Line and room of every import of tunesmith in a file."""
    package = ["tunesmith", *file.relative_to(src).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "tunesmith" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tunesmith" and len(parts) > 1 and parts[1] != "__version__":
                found.append((node.lineno, parts[1]))
    return found


def wrong_arrows(src: Path, allowed: dict[str, set[str]]) -> list[str]:
    """Every arrow that the table does not have, as ``file:line``."""
    wrong = []
    for room, files in rooms(src).items():
        for file in files:
            for line, target in arrows(file, src):
                if target != room and target not in allowed.get(room, set()):
                    wrong.append(f"{file.relative_to(src)}:{line}: {room} -> {target}")
    return wrong


def test_no_new_arrow() -> None:
    assert wrong_arrows(SRC, ALLOWED) == []


def test_every_room_is_in_the_table() -> None:
    assert set(rooms(SRC)) <= set(ALLOWED)


def test_no_arrow_back_to_what_imports_it() -> None:
    """Apart from recipe and stages, which are one idea in two places, the table has no circle."""
    one = {
        room if room != "recipe" else "stages": {t for t in to if t not in ("recipe", "stages")}
        for room, to in ALLOWED.items()
    }
    order: list[str] = []

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " -> ".join([*path, room])
        for target in one[room]:
            visit(target, (*path, room))
        if room not in order:
            order.append(room)

    for room in one:
        visit(room, ())
    assert set(order) == set(one)


def test_a_new_arrow_is_seen(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "loop.py").write_text(
        "import os\n\ndef f():\n"
        "    from tunesmith import chat\n    from ..data.task import Task\n    import tunesmith.plan.plan\n"
    )
    assert wrong_arrows(tmp_path, ALLOWED) == [
        "train/loop.py:4: train -> chat",
        "train/loop.py:5: train -> data",
    ]
