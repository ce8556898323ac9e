"""README and docs are tests: commands parse, YAML blocks are read by the code that reads such files, links lead
somewhere, translations have the same headings, commands and figures, and generated pages are those of the code."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from pydantic import ValidationError

from tunesmith.cli import app
from tunesmith.core.document import Document
from tunesmith.core.errors import EvalError, TunesmithError
from tunesmith.data import Cleaning
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.load.examples import read
from tunesmith.data.load.tasks import load_tasks
from tunesmith.data.tasks.render import render
from tunesmith.evals.asking.suite import Suite
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.pipeline import recipe
from tunesmith.pipeline.ablation import Ablation
from tunesmith.train.settings import TrainSettings

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "tunesmith"
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


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
        if command.name == "eval" and rest[0] not in command.commands:
            rest = ["run", *rest]
        _, command, rest = command.resolve_command(context, rest)
    assert command is not None
    command.make_context("tunesmith", list(rest))


def checked(text: str, folder: Path) -> str:
    """Read a YAML block by the code that reads such files; gives what it is. ``folder`` has the files that it names."""
    found = Document.read(text, "block").value
    match found:
        case {"stages": _}:
            # The base that the quickstart leaves, where a page names it.
            (folder / "runs" / "quickstart" / "pretrain" / "model").mkdir(parents=True, exist_ok=True)
            for plugin in found.get("plugins", []):
                (folder / plugin).touch()
            with contextlib.chdir(folder):
                recipe.parse(text)
            return "recipe"
        case {"suite": _}:
            Suite.model_validate(found)
            return "suite"
        case {"ablation": _}:
            Ablation.model_validate(found)
            return "ablation"
        case {"task": _, "path": str(path)}:
            (folder / path).write_text("", encoding="utf-8")
            (folder / "task.yaml").write_text(text, encoding="utf-8")
            load_tasks(folder / "task.yaml", metrics=METRICS)
            return "task"
        case {"train": settings}:
            TrainSettings.model_validate(settings)
            return "train"
        case {"clean": settings}:
            Cleaning.model_validate(settings)
            return "clean"
        case {"instances": _} | {"clusters": _}:
            (folder / "held_out.yaml").write_text(text, encoding="utf-8")
            HeldOut.load(folder / "held_out.yaml")
            return "held out"
    raise AssertionError(f"a YAML block that no code reads: {text[:60]!r}")


YAML = [(str(page.relative_to(ROOT)), block) for page in PAGES for block in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "block"), YAML, ids=[page for page, _ in YAML])
def test_yaml_blocks_are_read(page: str, block: str, tmp_path: Path) -> None:
    assert checked(block, tmp_path)


def test_a_wrong_yaml_block_is_found(tmp_path: Path) -> None:
    """The check above can fail, for each kind of block."""
    wrong = (
        "train: {learning_rate: 1}",
        "clean: {nearly: true}",
        "suite: x\nrow: 3",
        "ablation: x",
        "task: x\npath: x.csv",
        "stages: {a: {kind: buildd}}",
        "clusters: [a]\ntask: [b]",
        "other: 1",
    )
    for text in wrong:
        with pytest.raises((TunesmithError, ValidationError, AssertionError)):
            checked(text, tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_json_blocks_are_json(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


@pytest.mark.parametrize(
    "page", ["docs/get-started/first-evaluation.md", "docs/zh/first-evaluation.md"], ids=["english", "chinese"]
)
def test_the_first_evaluation_works(page: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_gsm8k_as_the_readme_asks_it(page: str, tmp_path: Path) -> None:
    """Rows as GSM8K's file has them, asked and scored with the README's two files."""
    _, task, suite = blocks(ROOT / page, "yaml")
    (tmp_path / "gsm8k.yaml").write_text(task, encoding="utf-8")
    (tmp_path / "suite.yaml").write_text(suite, encoding="utf-8")
    row = {"question": "Tom has 3 apples and buys 4. How many?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"}
    (tmp_path / "gsm8k_test.jsonl").write_text(json.dumps(row), encoding="utf-8")
    found = Suite.load(tmp_path / "suite.yaml")
    (question,) = found.questions().questions[0]
    assert found.how.thoughts and question.answers == ("7",) and row["question"] in question.messages[0].content
    number = METRICS[question.metric]
    assert number(Answer("3 + 4 = 7 apples. The answer is 7."), question) == 1.0
    assert number(Answer("3 + 4 = 7 apples. The answer is 8."), question) == 0.0


def shape(page: Path) -> list[str]:
    """The headings, blocks and rows of tables of a page, each by its first signs."""
    return re.findall(r"^(?:#+ |```\w*|\| `|\|)", page.read_text(encoding="utf-8"), re.MULTILINE)


def figures(page: Path) -> list[list[str]]:
    """The numbers of each row of a table. Both languages write them alike."""
    rows = re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [sorted(re.findall(r"[−-]?\d[\d,.:]*\d|\d", row)) for row in rows]


TWINS = [
    ("README.md", "README.zh-CN.md"),
    ("docs/benchmarks.md", "docs/zh/benchmarks.md"),
    ("docs/get-started/install.md", "docs/zh/install.md"),
    ("docs/get-started/quickstart.md", "docs/zh/quickstart.md"),
    ("docs/get-started/first-lora.md", "docs/zh/first-lora.md"),
    ("docs/get-started/first-evaluation.md", "docs/zh/first-evaluation.md"),
    ("docs/design/layout.md", "docs/zh/layout.md"),
]


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=[chinese for _, chinese in TWINS])
def test_twins(english: str, chinese: str) -> None:
    """The same headings, blocks, commands and figures, in two languages."""
    pages = ROOT / english, ROOT / chinese
    assert shape(pages[0]) == shape(pages[1])
    assert figures(pages[0]) == figures(pages[1])
    code = [
        [
            line.split("  #")[0].strip()
            for block in blocks(page, "sh") + blocks(page, "yaml") + blocks(page, "python")
            for line in block.splitlines()
        ]
        for page in pages
    ]
    assert code[0] == code[1]


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 120
        assert [line.split("#")[0].strip() for line in blocks(ROOT / name, "sh")[0].splitlines()] == [
            "make quickstart",
            "make test",
        ]
        assert text.index("make quickstart") < 1000


LINK = re.compile(r"\]\((?!https?://)([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    """What links may point to in a page, as Python-Markdown names its headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    names = [re.sub(r"[^\w\s-]", "", head).strip().lower() for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[-\s]+", "-", name) for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
        inside = page.is_relative_to(ROOT / "docs")
        if inside and not target.resolve().is_relative_to(ROOT / "docs"):
            wrong.append(f"{link} leaves docs/, and the site has no such page")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Code in backticks that is a path to a file of ours, from the root or from src/tunesmith."""
    named = re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|tsv|yaml|html))", page.read_text(encoding="utf-8"))
    ours = [path for path in named if path.split("/")[0] not in ("my_tasks", "runs", "build", "eval")]
    assert [path for path in ours if not (ROOT / path).exists() and not (SRC / path).exists()] == []


def test_every_page_is_in_the_menu() -> None:
    """And every line of the menu is a page. Without MkDocs, which `make docs` installs."""
    listed = re.findall(r"^ +- .*?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    there = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(there)


def test_the_reference_is_that_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec and spec.loader
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    old = [page.name for page, text in reference.pages().items() if page.read_text(encoding="utf-8") != text]
    assert old == [], "run: python tools/reference.py"


@pytest.mark.parametrize("page", ["docs/design/layout.md", "docs/zh/layout.md"])
def test_the_tree_of_the_layout_is_the_tree(page: str) -> None:
    (tree,) = [b for b in blocks(ROOT / page, "") if b.startswith("src/tunesmith/")]
    named = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    there = {path.name for path in SRC.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(named) == there


@pytest.mark.parametrize("name", ["bug", "wish", "wrong_figure"])
def test_issue_forms_are_forms(name: str) -> None:
    form = Document.open(ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").value
    assert form["name"] and form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids)) and all(part["attributes"]["label"] for part in form["body"])
