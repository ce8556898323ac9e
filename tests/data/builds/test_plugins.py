"""Readers and steps of cleaning from outside, in builds with several workers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.core import plugins
from tunesmith.core.errors import DataError, RecipeError, UnknownName
from tunesmith.core.settings import check
from tunesmith.data.builds.build import build_to
from tunesmith.data.builds.held_out import HeldOut
from tunesmith.data.builds.paths import train_files
from tunesmith.data.clean.cleaning import Cleaning
from tunesmith.data.clean.step import STEPS
from tunesmith.data.load.tasks import load_tasks
from tunesmith.data.store import conversations
from tunesmith.data.tasks.reader import READERS

PLUGIN = """
from pydantic import Field

from tunesmith.core.types import Conversation, Message
from tunesmith.data.clean.step import STEPS, Step, each_text
from tunesmith.data.tasks.reader import Record, row_reader, reader


@row_reader("question_mark")
def question_mark(row, task):
    asked, said = row["line"].split("?")
    yield Conversation((Message("user", asked + "?"), Message("assistant", said.strip())), id=str(row["n"]))


@reader("counted", {})
def counted(task):
    for n in range(5):
        yield Record(str(n), {"n": str(n), "answer": f"{n} it is"})


@STEPS.add("shout")
class Shout(Step):
    mark: str = Field(default="!", description="What is added.")

    def clean(self, row):
        return each_text(row, lambda text: text.upper() + self.mark)
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for registry in (READERS, STEPS):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
        monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    monkeypatch.setattr(plugins, "_rooms", {})
    before = set(sys.modules)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"line": f"How is {n}? Fine", "n": n}) for n in range(20)))
    template = "templates: [{id: to, instruction: 'Count to {{ n }}', target: '{{ answer }}'}]\n"
    head = "cluster: c\nlanguage: en\n"
    (tmp_path / "a.yaml").write_text(f"task: a\n{head}reader: question_mark\npath: a.jsonl\n")
    (tmp_path / "b.yaml").write_text(f"task: b\n{head}reader: counted\ninput: [n]\n{template}")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_every_worker_knows_the_reader_and_the_step(files: Path) -> None:
    plugins.load([str(files / "plugin.py")])
    tasks = load_tasks([files / "a.yaml", files / "b.yaml"])
    cleaning = Cleaning.model_validate({"shout": {"mark": "!!"}})
    rows = {}
    for workers in (1, 2):
        out = files / f"out{workers}"
        build_to(out, tasks, HeldOut(), seed=1, cleaning=cleaning, workers=workers)
        rows[workers] = list(conversations(*train_files(out, "instruction")))
    assert rows[1] == rows[2] and len(rows[1]) == 25
    assert {row.messages[0].content for row in rows[2] if row.task == "a.en"} >= {"HOW IS 3?!!"}


def test_a_reader_that_workers_cannot_import_is_told(files: Path) -> None:
    """As one that was typed into a notebook: the error comes back whole, and not as a broken pool."""
    plugins.load([str(files / "plugin.py")])
    tasks = load_tasks([files / "a.yaml"])
    plugins._rooms.clear()
    with pytest.raises(UnknownName, match="Reader 'question_mark' is not known"):
        build_to(files / "out", tasks, HeldOut(), seed=1, workers=2)


def test_a_reader_that_was_typed_in_is_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.load([str(files / "plugin.py")])
    tasks = load_tasks([files / "a.yaml"])
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    plugins.note("__main__", "data")
    with pytest.raises(DataError, match=r"where 2 workers cannot import it\. Use workers=1"):
        build_to(files / "out", tasks, HeldOut(), seed=1, workers=2)
    assert build_to(files / "out", tasks, HeldOut(), seed=1, workers=1).counts["train"] == 20


def test_other_code_of_a_plugin_reads_the_rows_again(files: Path) -> None:
    """A build that was killed keeps no row that other code has read."""
    from tunesmith.data.builds.worker import Orders

    plugins.load([str(files / "plugin.py")])
    tasks = load_tasks([files / "a.yaml"])
    orders = Orders.of(tasks, HeldOut(), "instruction", 1, Cleaning())
    (found,) = orders.outside
    plugins._digests[found.name] = "other"
    assert repr(Orders.of(tasks, HeldOut(), "instruction", 1, Cleaning())) != repr(orders)


def test_settings_of_a_step_from_outside(files: Path) -> None:
    plugins.load([str(files / "plugin.py")])
    on = Cleaning.model_validate({"shout": True, "length": {"answer_most": 3}})
    assert [name for name, _ in on.steps()] == ["unicode", "empty", "length", "shout"]
    assert Cleaning.model_validate(on.model_dump()) == on
    assert on.model_dump()["outside"] == {"shout": {"on": True, "mark": "!"}}
    assert Cleaning.model_validate({"shout": False}).steps() == Cleaning().steps()
    told = {
        "shout": ({"shout": {"marks": "?"}}, "shout.marks: unknown key; did you mean 'mark'?"),
        "shuot": ({"outside": {"shuot": True}}, "there is no step 'shuot' of a plug-in; did you mean 'shout'?"),
    }
    for value, said in told.values():
        (problem,) = check(Cleaning, value).problems
        assert problem.what.endswith(said)


def test_a_recipe_loads_its_plugins_before_it_is_checked(files: Path) -> None:
    from tunesmith.pipeline import recipe

    text = "name: x\nplugins: [{plugin}]\nstages:\n  build: {{kind: build, tasks: [{task}], clean: {{shout: true}}}}\n"
    found = recipe.parse(text.format(plugin=files / "plugin.py", task=files / "a.yaml"))
    assert [path.name for path in found.stages["build"].files()] == ["a.yaml", "a.jsonl"]
    with pytest.raises(RecipeError, match=r"<recipe>:2: plugins\[0\]: There is no plug-in 'nowhere'"):
        recipe.parse(text.format(plugin="nowhere", task=files / "a.yaml"))
    with pytest.raises(RecipeError, match=r"<recipe>:2: plugins: found 3, wanted a valid list"):
        recipe.parse("name: x\nplugins: 3\nstages: {build: {kind: build}}\n")
