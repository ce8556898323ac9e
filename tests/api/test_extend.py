"""Metrics, constraints, steps and stages of one's own are found where recipes and task files name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

import tunesmith as ts
from tunesmith.core import plugins
from tunesmith.data.builds.explain import explain
from tunesmith.data.clean.step import STEPS
from tunesmith.evals.constraints import CHECKS, follows
from tunesmith.evals.metrics import METRICS
from tunesmith.pipeline import recipe
from tunesmith.pipeline.run import key_parts
from tunesmith.stages import KINDS


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry in (METRICS, CHECKS, STEPS, KINDS):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
        monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    monkeypatch.setattr(plugins, "_rooms", {})
    yield


def test_a_constraint() -> None:
    @ts.constraint("mine:starts")
    def starts(text: str, *, zh: bool, letter: str) -> bool:
        return text.startswith(letter)

    assert follows("Hello", {"id": "mine:starts", "letter": "H"})
    assert not follows("Hello", {"id": "mine:starts", "letter": "J"})


def test_a_step_of_cleaning(tmp_path: Path) -> None:
    @ts.step("no_digits")
    class NoDigits(ts.Step):
        """Drop rows with digits."""

        def clean(self, row: ts.Conversation) -> ts.Conversation | str:
            return "has digits" if any(c.isdigit() for m in row.messages for c in m.content) else row

    rows = [f'{{"instruction": "Say {word}", "output": "yes"}}' for word in ("one", "2", "three", "4")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    data = ts.build(tmp_path / "rows.jsonl", tmp_path / "data", clean={"no_digits": True}, held_out=ts.HeldOut())
    assert sorted(row.messages[0].content for row in data.train) == ["Say one", "Say three"]
    assert data.ledger.unused() == {"no_digits: has digits": 2}
    (told,) = explain(data.folder, "rows.jsonl:2")
    assert "no_digits" in told.text()


class Count(ts.Stage):
    """Counts the training rows of a build."""

    data: Annotated[str, ts.From("data")]
    more: int = 0

    gives: ClassVar[tuple[str, ...]] = ("count",)
    rooms: ClassVar[tuple[str, ...]] = ("evals",)

    def run(self, job: ts.Job) -> Mapping[str, Any]:
        rows = ts.Data.open(job.inputs[self.data]).train
        (job.out / "count.txt").write_text(str(len(rows) + self.more))
        return {"count": len(rows) + self.more}


def test_a_stage_in_a_recipe(place: Path) -> None:
    ts.stage("count")(Count)
    (place / "recipe.yaml").write_text(
        "name: own\nstages:\n  build: {kind: build, tasks: [chats.jsonl], held_out: h.yaml}\n"
        "  count: {kind: count, data: build, more: 2}\n"
    )
    (place / "h.yaml").write_text("{}\n")
    ran = ts.run("recipe.yaml", out="runs/own")
    assert (ran.folder / "count" / "count.txt").read_text() == "32"
    assert [stage.reused for stage in ts.run("recipe.yaml", out="runs/own").stages] == [True, True]
    again = ts.run("recipe.yaml", {"count.more": 3}, out="runs/own")
    assert [stage.reused for stage in again.stages] == [True, False]
    with pytest.raises(ts.RecipeError, match=r"count\.mor: unknown key; did you mean 'more'"):
        ts.run("recipe.yaml", {"count.mor": 3})


def test_code_from_outside_is_in_the_keys_of_what_depends_on_it(place: Path) -> None:
    ts.stage("count")(Count)
    text = "name: own\nstages:\n  build: {kind: build, tasks: [chats.jsonl]}\n  count: {kind: count, data: build}\n"
    found = recipe.parse(text)
    code = {id: key_parts(found, id, {"build": "b"})["code"] for id in found.stages}
    assert [name for name in code["count"] if name.startswith("plug-in")] == ["plug-in tests"]  # the stage's own file
    assert not any(name.startswith("plug-in") for name in code["build"])
    plugins.note("pytest", "evals")
    after = key_parts(found, "count", {"build": "b"})["code"]
    assert set(after) - set(code["count"]) == {"plug-in pytest"}
    assert key_parts(found, "build", {})["code"] == code["build"]
