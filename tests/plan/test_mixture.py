"""Rates by hand, quotas that add up, and what a run sees in plain words."""

from __future__ import annotations

import pytest

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.plan.mixture import epochs, quotas, rates, table, with_parts

COUNTS = {"a": 100, "b": 300, "c": 1600}


def near(found: dict[str, float], **wanted: float) -> None:
    assert found == pytest.approx(wanted)


def test_proportional() -> None:
    near(rates("proportional", COUNTS), a=0.05, b=0.15, c=0.8)
    near(rates("proportional", COUNTS, cap=300), a=1 / 7, b=3 / 7, c=3 / 7)


def test_temperature() -> None:
    near(rates("temperature", {"a": 100, "c": 1600}, temperature=2), a=10 / 50, c=40 / 50)
    near(rates("temperature", COUNTS, temperature=1), a=0.05, b=0.15, c=0.8)
    near(rates("temperature", COUNTS, temperature=1e9), a=1 / 3, b=1 / 3, c=1 / 3)
    near(rates("temperature", COUNTS, temperature=0.001), a=0, b=0, c=1)
    near(rates("temperature", COUNTS, temperature=2, cap=400), a=10 / 47.3205, b=17.3205 / 47.3205, c=20 / 47.3205)


def test_fixed() -> None:
    near(rates("fixed", COUNTS, shares={"a": 1, "b": 0, "c": 3}), a=0.25, b=0, c=0.75)


def test_balance() -> None:
    """Two clusters of equal weight, whatever the number of their rows and tasks."""
    near(rates("proportional", COUNTS, balance={"a": "one", "b": "one", "c": "two"}), a=0.125, b=0.375, c=0.5)
    with pytest.raises(DataError, match="No cluster is given for c"):
        rates("proportional", COUNTS, balance={"a": "one", "b": "one"})


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'temperature'"):
        rates("temprature", COUNTS)
    with pytest.raises(DataError) as caught:
        rates("fixed", COUNTS, shares={"a": 1, "bb": 2, "c": -1}, cap=3)
    assert str(caught.value).splitlines()[1:] == [
        "'bb' is not in the mixture; did you mean 'b'?",
        "'b' has no share; 0 leaves it out",
        "'c' has share -1, wanted 0 or more",
        "a cap has no meaning with fixed shares",
    ]
    with pytest.raises(DataError, match="write `rates: fixed`"):
        rates("proportional", COUNTS, shares={"a": 1})
    with pytest.raises(DataError, match="needs rows; none for: b"):
        rates("proportional", {"a": 1, "b": 0})
    with pytest.raises(DataError, match="temperature of a mixture is 0"):
        rates("temperature", COUNTS, temperature=0)
    with pytest.raises(DataError, match="cap of a mixture is 0"):
        rates("proportional", COUNTS, cap=0)


def test_quotas_by_largest_remainder() -> None:
    assert quotas({"a": 0.5, "b": 0.3, "c": 0.2}, 9) == {"a": 4, "b": 3, "c": 2}  # 4.5 2.7 1.8
    assert quotas({"b": 1, "a": 1, "c": 1}, 4) == {"b": 1, "a": 2, "c": 1}  # a tie goes by name
    assert quotas({"a": 1, "b": 0}, 3) == {"a": 3, "b": 0}
    shares = {str(i): 1 / (i + 1) for i in range(97)}
    for total in (0, 1, 96, 1000, 12345):
        found = quotas(shares, total)
        assert sum(found.values()) == total
        assert all(abs(found[n] - total * s / sum(shares.values())) < 1 for n, s in shares.items())


def test_epochs_in_words() -> None:
    lines = epochs({"a": 10, "b": 100, "c": 5}, {"a": 0.5, "b": 0.5, "c": 0}, 60)
    assert [(line.name, line.draws, line.epochs) for line in lines] == [("a", 30, 3.0), ("b", 30, 0.3), ("c", 0, 0.0)]
    assert table(lines).splitlines() == [
        "a: 10 rows, 50.0% of the draws (30); it is seen 3.0 times.",
        "b: 100 rows, 50.0% of the draws (30); it is seen in part: 30 of 100 rows, once.",
        "c: 5 rows, 0.0% of the draws (0); it is not seen.",
        "Together: 60 draws from 115 rows, 0.5 times on average.",
    ]


def test_whole_clusters_have_the_parts_given() -> None:
    shares = rates("proportional", COUNTS)
    clusters = {"a": "one", "b": "one", "c": "two"}
    given = with_parts(shares, clusters, {"two": 0.4})
    assert given["c"] == pytest.approx(0.4) and sum(given.values()) == pytest.approx(1)
    assert given["a"] / given["b"] == pytest.approx(shares["a"] / shares["b"]), "the others keep their proportions"
    assert with_parts(shares, clusters, {"two": 0})["c"] == 0
    whole = with_parts(shares, clusters, {"one": 0.75, "two": 0.25})
    assert whole["c"] == pytest.approx(0.25)
    with pytest.raises(DataError, match=r"'tow' is no cluster of the mixture.*'two'"):
        with_parts(shares, clusters, {"tow": 0.1})
    with pytest.raises(DataError, match=r"has part 1.5, wanted from 0 to 1"):
        with_parts(shares, clusters, {"two": 1.5})
    with pytest.raises(DataError, match=r"add up to 0.5, and there are no others"):
        with_parts(shares, clusters, {"one": 0.25, "two": 0.25})
    with pytest.raises(DataError, match="add up to 1, and there are others"):
        with_parts(shares, clusters, {"two": 1.0})
