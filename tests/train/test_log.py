"""What a run tells of itself: rates, losses of sources and clusters, rows kept apart, trackers."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from tests.train.test_loop import MODEL, settings, store
from tunesmith.core.errors import DataError, TrainError
from tunesmith.plan import TokenStore
from tunesmith.train.loop import train
from tunesmith.train.settings import TrainSettings
from tunesmith.train.split_weights import join
from tunesmith.train.validation import apart


def run(out: Path, stores: dict[str, TokenStore] | None = None, **changed: Any) -> list[dict[str, Any]]:
    stores = stores or {"a": store(), "b": store(40, 1)}
    groups = dict.fromkeys(stores, "letters")
    shares = dict.fromkeys(stores, 1.0)
    train(MODEL, "sft", stores, shares, settings(**changed), out, groups=groups, progress=False)
    return lines(out / "metrics.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_losses_of_sources_and_clusters_are_the_loss(tmp_path: Path) -> None:
    steps = run(tmp_path, steps=40)
    told = lines(tmp_path / "losses.jsonl")
    assert [line["step"] for line in told] == list(range(1, 41))
    for step, line in zip(steps, told, strict=True):
        assert set(line["sources"]) <= {"a", "b"} and set(line["clusters"]) == {"letters"}
        assert line["clusters"]["letters"] == pytest.approx(step["loss"], abs=2e-5)
        assert min(line["sources"].values()) <= step["loss"] <= max(line["sources"].values())


def test_rates_and_memory_are_told(tmp_path: Path) -> None:
    for step in run(tmp_path):
        assert step["learned_per_second"] == pytest.approx(
            step["tokens_per_second"] * step["learned"] / step["tokens"], rel=0.3
        )
        assert 0 < step["flops_share"] < 1.5 and 50 < step["memory_mb"] < 50_000


def test_rows_kept_apart_are_never_trained_on(tmp_path: Path) -> None:
    stores = {"a": store(300), "b": store(100, 1)}
    masks = apart(stores, {name: s.learned > 0 for name, s in stores.items()}, 20)
    assert [int(mask.sum()) for mask in masks.values()] == [15, 5]
    run(tmp_path / "kept", stores, validation=20, steps=10)
    told = [line for line in lines(tmp_path / "kept" / "losses.jsonl") if "kept_apart" in line]
    assert [line["step"] for line in told] == [5, 10]
    # What is kept apart may say anything: the run is the same to the last bit.
    changed = {}
    for name, s in stores.items():
        ids = s.ids.copy()
        for i in masks[name].nonzero()[0]:
            ids[s.offsets[i] : s.offsets[i + 1]] = 49
        changed[name] = TokenStore(ids, s.learn, s.offsets, s.names, s.digest)
    run(tmp_path / "other", changed, validation=20, steps=10)
    other = [line for line in lines(tmp_path / "other" / "losses.jsonl") if "kept_apart" in line]
    assert other != told
    a, b = (safetensors.torch.load_file(tmp_path / n / "model" / "model.safetensors") for n in ("kept", "other"))
    assert all((a[k] == b[k]).all() for k in a)


def test_all_wordings_of_an_example_are_kept_apart_together() -> None:
    s = store(400)
    names = [f"example{i // 4}@wording{i % 4}" for i in range(400)]
    s = TokenStore(s.ids, s.learn, s.offsets, names, s.digest)
    mask = apart({"a": s}, {"a": s.learned > 0}, 40)["a"]
    assert 0 < mask.sum() <= 40
    assert all(mask[i : i + 4].all() or not mask[i : i + 4].any() for i in range(0, 400, 4))


def test_the_best_model_is_kept(tmp_path: Path) -> None:
    """At such a rate the model gets worse; the result is the one with the lowest loss, which no later one has."""
    stores = {"a": store(300)}
    wild = {"lr": 0.3, "steps": 40, "validation": 20, "schedule": "wsd", "decay": 0.0, "warmup": 0.0, "save_every": 4}
    run(tmp_path / "last", stores, **wild)
    told = [line for line in lines(tmp_path / "last" / "losses.jsonl") if "kept_apart" in line]
    best = min(told, key=lambda line: line["kept_apart"])["step"]
    assert best < 40
    run(tmp_path / "best", stores, **wild, keep="best")
    a, b = (safetensors.torch.load_file(tmp_path / n / "model" / "model.safetensors") for n in ("last", "best"))
    assert any((a[k] != b[k]).any() for k in a)
    held = safetensors.torch.load_file(
        tmp_path / "best" / "checkpoints" / f"step-{best:08d}" / "state-0-of-1.safetensors"
    )
    assert all(
        (join(held[f"weights.{k}"], held[f"low.{k}"]) if f"low.{k}" in held else held[f"weights.{k}"]).equal(b[k])
        for k in b
    )


def test_a_run_stops_when_it_gets_no_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At such a rate the loss on rows kept apart only rises: two checkpoints after the best one the run ends."""
    stores = {"a": store(300)}
    wild = {"lr": 0.3, "steps": 400, "validation": 20, "decay": 0.0, "warmup": 0.0, "save_every": 4, "patience": 2}
    steps = run(tmp_path / "run", stores, **wild, keep="best")
    told = {
        line["step"]: line["kept_apart"] for line in lines(tmp_path / "run" / "losses.jsonl") if "kept_apart" in line
    }
    best = min(told, key=lambda step: told[step])
    assert len(steps) == max(told) == best + 8 < 400
    assert f"Stopped after step {best + 8}: no lower loss on rows kept apart since {best}." in capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == best + 8
    # The model is the best one, as a run of so many steps has it.
    run(tmp_path / "short", stores, **{**wild, "patience": 0, "steps": best + 8}, keep="best")
    a, b = (safetensors.torch.load_file(tmp_path / n / "model" / "model.safetensors") for n in ("run", "short"))
    assert all((a[k] == b[k]).all() for k in a)
    run(tmp_path / "run", stores, **wild, keep="best")  # it is finished, and says so again
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result


def test_patience_needs_rows_kept_apart() -> None:
    with pytest.raises(ValueError, match="patience needs rows"):
        TrainSettings.model_validate({"patience": 2})


def test_best_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="keep: best needs rows"):
        TrainSettings.model_validate({"keep": "best"})
    s = store(5)
    with pytest.raises(DataError, match="none can be kept apart"):
        apart({"a": s}, {"a": s.learned > 0}, 1)


def test_a_spike_is_told_and_skipped_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    easy = store(200)
    ids = easy.ids.copy()
    ids[:] = 7
    easy = TokenStore(ids, easy.learn, easy.offsets, easy.names, easy.digest)

    def lurking(step: int) -> dict[str, Any]:
        """A run whose rows are all the same until one step that has another source's."""
        return {"steps": step, "lr": 1e-2, "save_every": 100}

    run(tmp_path / "calm", {"a": easy}, **lurking(60))
    assert "leapt" not in capsys.readouterr().err
    for name, skip in (("taken", False), ("skipped", True)):
        stores = {"a": easy, "b": store(3, 5)}
        shares = {"a": 1.0, "b": 0.01}
        train(MODEL, "sft", stores, shares, settings(**lurking(60), skip_spikes=skip), tmp_path / name, progress=False)
        said = capsys.readouterr().err.replace("\n", " ")
        steps = lines(tmp_path / name / "metrics.jsonl")
        assert "leapt to" in said and ("It was skipped" in said) is skip
        assert any(step["lr"] == 0 for step in steps) is skip


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_trackers_are_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[dict[str, float], int]] = []
    ended: list[str] = []

    def log(values: dict[str, float], step: int) -> None:
        told.append((values, step))

    def end() -> None:
        ended.append(name)

    fake: Any = types.ModuleType(name)
    run_of = types.SimpleNamespace(log=log, finish=end, info=types.SimpleNamespace(run_id="7"))
    fake.init = fake.start_run = lambda **kwargs: run_of
    fake.log, fake.log_metrics, fake.finish, fake.end_run = log, log, end, end
    monkeypatch.setitem(sys.modules, name, fake)
    steps = run(tmp_path, steps=6, track=[name])
    losses = [values["train/loss"] for values, _ in told if "train/loss" in values]
    assert losses == pytest.approx([step["loss"] for step in steps], abs=1e-6)
    assert [step for values, step in told if "train/loss" in values] == [1, 2, 3, 4, 5, 6]
    assert ended == [name]


def test_a_tracker_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrainError, match="pip install wandb"):
        run(tmp_path, track=["wandb"])


def test_a_tracker_that_fails_costs_its_figures_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def log(values: dict[str, float], step: int) -> None:
        if step > 2:
            raise ConnectionError("the network is gone")

    fake: Any = types.ModuleType("wandb")
    fake.init = lambda **kwargs: types.SimpleNamespace(log=log, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert len(run(tmp_path / "a", steps=6, track=["wandb", "tensorboard"])) == 6
    said = capsys.readouterr().err.replace("\n", " ")
    assert said.count("wandb has failed (the network is gone)") == 1 and "tensorboard" not in said

    def no(**kwargs: object) -> None:
        raise ValueError("no such place\nand more")

    fake.init = no
    with pytest.raises(TrainError, match=r"wandb cannot begin: no such place\. Mend that"):
        run(tmp_path / "b", track=["wandb"])
