"""So many epochs are so many steps: each row is then seen as often, whatever the shares and the lengths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tunesmith.core.types import EncodedMany
from tunesmith.plan import Plan, TokenStore
from tunesmith.stages.sft import TuneSettings
from tunesmith.train.epochs import in_steps
from tunesmith.train.settings import TrainSettings


def store(folder: Path, lengths: list[int]) -> TokenStore:
    ends = np.cumsum(lengths)
    encoded = EncodedMany(
        ids=np.arange(ends[-1], dtype=np.int32) % 50,
        learn=np.ones(ends[-1], dtype=np.bool_),
        offsets=np.concatenate(([0], ends)).astype(np.int64),
        rows=np.arange(len(lengths)),
    )
    return TokenStore.write(folder, encoded, [f"row {i}" for i in range(len(lengths))])


def plan_of(sources: dict[str, TokenStore], shares: dict[str, float], settings: TrainSettings) -> Plan:
    return Plan(
        {name: one.lengths for name, one in sources.items()},
        shares,
        seed=1,
        batch_tokens=settings.batch_tokens,
        row_length=settings.row_length,
        steps=settings.steps,
    )


def test_two_epochs_by_hand(tmp_path: Path) -> None:
    sources = {"a": store(tmp_path / "a", [10, 20, 30, 40])}
    found = in_steps(TrainSettings(epochs=2, batch_tokens=60, row_length=64), "sft", sources, {"a": 1.0})
    assert (found.steps, found.epochs) == (4, None), "200 tokens in batches of 60"
    plan = plan_of(sources, {"a": 1.0}, found)
    seen = Counter(item.index for step in range(4) for row in plan.batch(step) for item in row)
    assert all(seen[i] in (2, 3) for i in range(4))


def test_an_epoch_that_ends_with_a_batch_is_not_a_step_longer(tmp_path: Path) -> None:
    sources = {"a": store(tmp_path / "a", [10] * 30)}
    for epochs, steps in ((0.1, 1), (0.3, 3), (1, 10), (3, 30), (0.01, 1)):
        settings = TrainSettings(epochs=epochs, batch_tokens=30, row_length=64)
        assert in_steps(settings, "sft", sources, {"a": 1.0}).steps == steps


@pytest.mark.parametrize("shares", [{"a": 0.3, "b": 0.7}, {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 0.0}])
def test_mixed_sources_are_seen_so_often_on_average(tmp_path: Path, shares: dict[str, float]) -> None:
    sources = {"a": store(tmp_path / "a", [7, 9, 11] * 40), "b": store(tmp_path / "b", [30, 50] * 30)}
    found = in_steps(TrainSettings(epochs=3, batch_tokens=60, row_length=64), "sft", sources, shares)
    report = plan_of(sources, shares, found).report()
    rows = sum(len(one) for name, one in sources.items() if shares[name])
    assert report.documents / rows == pytest.approx(3, rel=0.03)


def test_rehearsed_text_stands_beside(tmp_path: Path) -> None:
    sources = {"a": store(tmp_path / "a", [10] * 60), "text": store(tmp_path / "t", [20] * 500)}
    shares = {"a": 0.6, "text": 0.4}
    settings = TrainSettings(epochs=2, batch_tokens=100, row_length=64)
    found = in_steps(settings, "sft", sources, shares, ["text"])
    report = plan_of(sources, shares, found).report()
    assert report.epochs["a"] == pytest.approx(2, rel=0.02)


def test_rows_kept_for_validation_are_not_counted(tmp_path: Path) -> None:
    sources = {"a": store(tmp_path / "a", [10] * 200)}
    settings = TrainSettings(epochs=1, batch_tokens=100, row_length=64, validation=20)
    assert in_steps(settings, "sft", sources, {"a": 1.0}).steps == 18


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="take one of them away"):
        TrainSettings(epochs=1, steps=3)
    assert TuneSettings(epochs=1).steps == 1000
    settings = TrainSettings(steps=3)
    assert in_steps(settings, "sft", {}, {}) is settings
    again = TrainSettings.model_validate(
        in_steps(TrainSettings(epochs=1), "sft", {"a": store(tmp_path / "a", [9])}, {"a": 1}).model_dump(mode="json")
    )
    assert (again.steps, again.epochs) == (1, None), "as it is sent to other processes"
