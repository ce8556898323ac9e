"""Planning and training from Python is what a recipe's stage does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tunesmith as ts
from tests.api.conftest import CHATS
from tunesmith.train.objectives import OBJECTIVES
from tunesmith.train.objectives.sft import Sft

BASE = "runs/quickstart/pretrain"
TRAIN: dict[str, Any] = {"batch_tokens": 512, "row_length": 128, "lr": 1e-2}


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(OBJECTIVES, "_items", dict(OBJECTIVES._items))
    monkeypatch.setattr(OBJECTIVES, "_modules", dict(OBJECTIVES._modules))
    yield


def test_a_tuned_model_answers(place: Path) -> None:
    done = ts.fit(BASE, CHATS, "runs/mine", steps=60, **TRAIN)
    assert (done.steps, done.folder) == (60, Path("runs/mine/model"))
    assert done.loss < 0.5 and done.tokens > 60 * 400 and done.info["tasks"] == 1
    tuned = done.load()
    assert [tuned.ask(row[:1], max_new_tokens=6) for row in CHATS[:3]] == ["moo", "woof", "meow"]
    assert ts.load("runs/mine/model").ask(CHATS[0][:1], max_new_tokens=6) == "moo"


def test_the_same_weights_as_a_recipe(place: Path) -> None:
    data = ts.build("chats.jsonl", "data/chats", seed=1)
    done = ts.fit(ts.load(BASE), data, "runs/mine", steps=3, seed=1, **TRAIN)
    (place / "recipe.yaml").write_text(
        "name: same\nstages:\n  build: {kind: build, tasks: [chats.jsonl]}\n"
        f"  tune:\n    {{kind: sft, model: {BASE}, data: build,\n"
        "     train: {steps: 3, batch_tokens: 512, row_length: 128, lr: 1e-2}}\n"
    )
    ran = ts.run("recipe.yaml")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (done.folder, ran.folder / "tune/model"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not torch.equal(ours["lm_head.weight"], ts.load(BASE).net.state_dict()["lm_head.weight"])


def test_an_objective_of_ones_own(place: Path, forgotten: None) -> None:
    seen: list[int] = []

    @ts.objective("only_first")
    class OnlyFirst(Sft):
        """The first token of each answer alone."""

        def loss(self, policy: ts.Policy, batch: ts.Batch) -> ts.Loss:
            first = torch.from_numpy(np.r_[True, np.diff(batch.owners) > 0])
            seen.append(int(first.sum()))
            hidden = policy.hidden(batch.ids, batch.packed)[batch.at]
            logp = policy.logits_of(hidden).log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
            return ts.Loss(-logp[first].sum(), self.weight(batch))

    done = ts.fit(BASE, CHATS, "runs/first", objective="only_first", steps=4, **TRAIN)
    assert seen and done.loss > 0
    assert json.loads((place / "runs/first/run.json").read_text())["objective"] == "only_first"
    sft = ts.fit(BASE, CHATS, "runs/sft", steps=4, **TRAIN)
    ours, theirs = (load_file(one.folder / "model.safetensors")["lm_head.weight"] for one in (done, sft))
    assert not torch.equal(ours, theirs)
    with pytest.raises(ts.UnknownName, match="Did you mean 'only_first'"):
        ts.fit(BASE, CHATS, "runs/x", objective="only_frist", steps=4, **TRAIN)


def test_a_plan_is_that_of_the_run(place: Path) -> None:
    model = ts.load(BASE)
    rows = model.encode_many(CHATS)
    plan = ts.make_plan({"rows": rows}, epochs=2, batch_tokens=512, row_length=128, seed=5)
    drawn = [item.index for step in range(plan.steps) for row in plan.batch(step) for item in row]
    assert set(drawn[: len(CHATS)]) <= set(range(len(CHATS))) and len(drawn) >= 2 * len(CHATS)
    settings = ts.TrainSettings(steps=plan.steps, batch_tokens=512, row_length=128, seed=5)
    store = ts.TokenStore.of(rows)
    folder = str(place / BASE / "model")
    with ts.Trainer(folder, "sft", {"rows": store}, {"rows": 1.0}, settings, "runs/steps", progress=False) as run:
        assert [run.plan.batch(step) for step in range(plan.steps)] == [plan.batch(s) for s in range(plan.steps)]
        event = run.step()
        assert event.step == 1 and event.tokens == sum(len(rows[i.index].ids) for row in plan.batch(0) for i in row)
    two = ts.make_plan({"a": rows, "b": rows}, shares={"a": 3, "b": 1}, steps=50, batch_tokens=512)
    assert two.report().realised["a"] == pytest.approx(0.75, abs=0.02)


def test_what_cannot_be_trained(place: Path) -> None:
    with pytest.raises(ts.RecipeError, match=r"fit\(\): train.stepps: unknown key; did you mean 'steps'"):
        ts.fit(BASE, CHATS, "runs/x", stepps=3)
    with pytest.raises(ts.TrainError, match="there is no row to train on"):
        ts.fit(BASE, [], "runs/x")
    with pytest.raises(ts.TrainError, match="rehearsal needs a build with text"):
        ts.fit(BASE, CHATS, "runs/x", rehearsal=0.5)
    with pytest.raises(ts.RecipeError, match=r"make_plan\(\): lr: "):
        ts.make_plan({}, lr=7)
