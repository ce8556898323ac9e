"""The plan: a pure function from a step to its documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.core.types import EncodedMany
from tunesmith.plan import Plan, TokenStore


def plan(seed: int = 3, **settings: int) -> Plan:
    rng = np.random.default_rng(0)
    lengths = {"a": rng.integers(5, 60, 300), "b": rng.integers(5, 60, 100)}
    values = {"batch_tokens": 1024, "row_length": 256, "steps": 60, **settings}
    return Plan(lengths, {"a": 0.7, "b": 0.3}, seed=seed, **values)


def test_a_batch_depends_on_nothing_but_its_number() -> None:
    forwards = [plan().batch(s) for s in range(60)]
    other = plan()
    assert [other.batch(s) for s in reversed(range(60))] == forwards[::-1]
    assert plan(seed=4).batch(0) != forwards[0]


def test_every_row_is_seen_once_before_any_is_seen_twice() -> None:
    seen: Counter[tuple[str, int]] = Counter()
    for s in range(60):
        for row in plan().batch(s):
            seen.update((i.source, i.index) for i in row)
            for name, rows in (("a", 300), ("b", 100)):
                counts = [seen[name, i] for i in range(rows)]
                # The draw may stand in the middle of a batch, so one batch may hold the end and the next beginning.
                assert max(counts) - min(counts) <= 2
    for name, rows in (("a", 300), ("b", 100)):
        counts = [seen[name, i] for i in range(rows)]
        assert max(counts) - min(counts) <= 1


def test_shares_are_those_asked_for() -> None:
    report = plan(steps=400).report()
    assert report.realised["a"] == pytest.approx(0.7, abs=0.01)
    assert report.tokens == pytest.approx(400 * 1024, rel=0.001)


def test_rows_are_within_bounds() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 60, 300)
    p = Plan({"a": lengths}, {"a": 1.0}, seed=0, batch_tokens=2048, row_length=512, steps=20)
    for s in range(20):
        for row in p.batch(s):
            assert 0 < sum(int(lengths[i.index]) for i in row) <= 512


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"row_length": 20}, "Rows are longer than row_length 20"),
        ({"batch_tokens": 8}, "too small for rows this long"),
    ],
)
def test_what_cannot_be_is_said(change: dict[str, int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        plan(**change)


def test_many_sources_share_a_small_batch() -> None:
    """Of a hundred sources none has a whole row in each batch, and no batch is empty; in smaller ones some are."""
    rng = np.random.default_rng(0)
    lengths = {f"task{i:03}": rng.integers(5, 60, 50) for i in range(100)}
    shares = dict.fromkeys(lengths, 1.0)
    p = Plan(lengths, shares, seed=0, batch_tokens=512, row_length=64, steps=400)
    batches = [p.batch(step) for step in range(400)]
    assert all(len(row) for batch in batches for row in batch)
    assert sum(1 for batch in batches for row in batch for _ in row) == pytest.approx(400 * 512 / 32, rel=0.1)
    with pytest.raises(DataError, match=r"\d+ of 400 batches would be empty"):
        Plan(lengths, shares, seed=0, batch_tokens=40, row_length=64, steps=400)


def test_a_share_of_nothing() -> None:
    lengths = {"text": np.full(10, 5)}
    with pytest.raises(UnknownName, match="Did you mean 'text'"):
        Plan(lengths, {"txet": 1.0}, seed=0, batch_tokens=64, row_length=16, steps=1)


def encoded(rows: list[list[int]]) -> EncodedMany:
    ids = np.array([i for r in rows for i in r], np.int32)
    offsets = np.r_[0, np.cumsum([len(r) for r in rows])].astype(np.int64)
    return EncodedMany(ids, np.ones(len(ids), np.bool_), offsets, np.arange(len(rows)))


def test_a_store_comes_back_as_it_was(tmp_path: Path) -> None:
    made = TokenStore.write(tmp_path / "s", encoded([[1, 2, 3], [4, 5]]), ["first", "second"])
    again = TokenStore.open(tmp_path / "s")
    assert again.digest == made.digest and list(again.names) == ["first", "second"]
    assert again[1].ids.tolist() == [4, 5]
    assert again[0].learn.tolist() == [False, True, True]  # nothing comes before the first token
    assert TokenStore.of(encoded([[1, 2, 3], [4, 6]])).digest != made.digest


def test_an_empty_row_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        TokenStore.of(encoded([[1], []]))


def test_shares_hold_in_every_thousand_steps() -> None:
    """Forty sources with lengths and sizes as far apart as FLAN's: what is drawn is what was asked, all the way."""
    rng = np.random.default_rng(1)
    sizes = {f"set{i:02}": int(2 ** rng.uniform(6, 14)) for i in range(40)}
    lengths = {name: rng.lognormal(rng.uniform(3, 5.5), 0.8, n).astype(int).clip(4, 512) for name, n in sizes.items()}
    asked = {name: float(min(n, 3000)) for name, n in sizes.items()}
    total = sum(asked.values())
    p = Plan(lengths, asked, seed=1, batch_tokens=4096, row_length=512, steps=20_000)
    worst = 0.0
    for begin in (0, 1000, 17_000):
        seen: Counter[str] = Counter()
        for step in range(begin, begin + 1000):
            seen.update(item.source for row in p.batch(step) for item in row)
        drawn = sum(seen.values())
        worst = max(worst, *(abs(seen[name] / drawn - asked[name] / total) for name in asked))
    assert worst <= 0.005
