"""The commands and examples of README and docs are real: commands parse, task files load, paths exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from tunesmith.cli import app
from tunesmith.core.errors import EvalError
from tunesmith.data.load.examples import read
from tunesmith.data.load.tasks import load_tasks
from tunesmith.data.tasks.render import render
from tunesmith.evals.asking.suite import Suite

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for kind, block in found if kind == language]


def commands() -> list[tuple[str, str]]:
    """Every line of a shell block that runs tunesmith, without its remark, and every verb of a table."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            lines = (line.split("  #")[0].split(" > ")[0].strip() for line in block.splitlines())
            found += [(page.name, line) for line in lines if line.startswith("tunesmith ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page: str, line: str) -> None:
    group = typer.main.get_command(app)
    args = shlex.split(line)[1:]
    context = group.make_context("tunesmith", args, resilient_parsing=True)
    command, rest = group, args
    while hasattr(command, "resolve_command"):
        _, command, rest = command.resolve_command(context, rest)
    assert command is not None
    command.make_context("tunesmith", list(rest))


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_task_of_the_readme_works(page: str, tmp_path: Path) -> None:
    block, suite = blocks(ROOT / page, "yaml")
    (tmp_path / "my_tasks").mkdir()
    (tmp_path / "my_tasks" / "task.yaml").write_text(block, encoding="utf-8")
    (tmp_path / "places.yaml").write_text(suite, encoding="utf-8")
    topics = ("billing", "delivery", "login", "refund", "praise")
    rows = [json.dumps({"text": f"A ticket on {topic}.", "topic": topic}) for topic in topics]
    (tmp_path / "my_tasks" / "tickets.jsonl").write_text("\n".join(rows))
    (task,) = load_tasks(tmp_path / "my_tasks" / "task.yaml")
    example = read([task]).examples[task.id][0]
    asked = [render(example, template, task) for template in task.templates]
    assert asked[0].messages[-1].content == "billing"
    assert len(asked[1].options) == 4
    with pytest.raises(EvalError, match="has 5 rows: too few to show 5"):
        Suite.load(tmp_path / "places.yaml").questions()
    (tmp_path / "places.yaml").write_text(suite.replace("[0, 5]", "[0, 3]"), encoding="utf-8")
    found = Suite.load(tmp_path / "places.yaml").questions().questions
    assert [len(found[shots]) for shots in (0, 3)] == [2 * len(task.templates)] * 2


def test_the_two_readmes_are_twins() -> None:
    """The same headings, blocks and commands, in two languages."""
    english, chinese = (ROOT / name for name in ("README.md", "README.zh-CN.md"))
    shape = [
        re.findall(r"^(?:#+ |```\w*|\| `)", page.read_text(encoding="utf-8"), re.MULTILINE)
        for page in (english, chinese)
    ]
    assert shape[0] == shape[1]
    said = [[c for name, c in commands() if name == page.name] for page in (english, chinese)]
    assert said[0] == said[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_tree_of_the_readme_is_the_tree() -> None:
    (tree,) = [b for b in blocks(ROOT / "README.md", "") if b.startswith("src/tunesmith/")]
    named = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    there = {path.name for path in (ROOT / "src" / "tunesmith").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(named) == there
