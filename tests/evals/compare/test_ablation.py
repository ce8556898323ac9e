"""What an ablation says it has found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunesmith.core.errors import EvalError
from tunesmith.evals.compare.ablation import findings, write_page
from tunesmith.evals.records import Record
from tunesmith.evals.statistics.intervals import Interval

SEEDS = (1, 2, 3, 4, 5)


def answers(rate: Callable[[int], float], level: str = "cluster") -> dict[int, list[Record]]:
    """60 facts in two wordings, right with a chance that the seed decides."""
    made: dict[int, list[Record]] = {}
    for seed in SEEDS:
        random = np.random.default_rng([seed, round(1000 * rate(seed))])
        made[seed] = [
            Record(
                id=f"f{fact}@t/{wording}",
                model="tuned",
                level=level,
                format="instruction",
                shots=0,
                metric="exact_match",
                task="t",
                cluster="c",
                template=f"t/{wording}",
                language="en",
                group=f"f{fact}",
                prompt="?",
                answer="!",
                gold=("!",),
                value=float(random.random() < rate(seed)),
                finished=True,
            )
            for fact in range(60)
            for wording in ("a", "b")
        ]
    return made


def test_points_that_ask_in_their_own_words_are_paired_by_example() -> None:
    one, other = answers(lambda _: 0.3), answers(lambda _: 0.6)
    short = {seed: [r for r in records if r.template == "t/a"] for seed, records in one.items()}
    long = {seed: [r for r in records if r.template == "t/b"] for seed, records in other.items()}
    assert findings({"one": short, "other": long}, against="one")[1].difference is None
    found = findings({"one": short, "other": long}, against="one", pair="example")[1]
    assert found.difference is not None and found.p < 0.01
    assert found.difference.n == 5 * 60 and found.difference.groups == 60
    means = [np.mean([r.value for records in side.values() for r in records]) for side in (short, long)]
    assert found.difference.value == pytest.approx(means[1] - means[0])


def test_what_is_better_and_what_is_not_told_apart() -> None:
    points = {
        "one": answers(lambda seed: 0.3 + 0.01 * seed),
        "more": answers(lambda seed: 0.6 + 0.01 * seed),
        "same": answers(lambda seed: 0.305 + 0.01 * seed),
    }
    one, more, same = findings(points, against="one")
    assert (one.point, one.difference, one.finding) == ("one", None, "")
    assert more.difference is not None and more.difference.value == pytest.approx(more.rate.value - one.rate.value)
    assert more.p < 0.01 and more.finding.startswith("better by ")
    assert same.finding.startswith("no significant difference; one of ") and same.p > 0.05
    inside = replace(same, difference=Interval(0.0075, -0.008, 0.0233, 300, 60))
    assert inside.finding == "no significant difference; one of 3 points or more is ruled out", "2.3 is not excluded"
    assert len(one.each) == 5 and np.mean(one.each) == pytest.approx(one.rate.value)
    assert one.lower <= one.median <= one.upper


def test_one_seed_that_is_lucky_is_no_finding() -> None:
    """Four seeds are the same and one is far better: with questions alone as luck, that would be a finding."""
    points = {"one": answers(lambda _: 0.4), "other": answers(lambda seed: 0.9 if seed == 3 else 0.4)}
    _, other = findings(points, against="one")
    assert other.difference is not None and other.difference.value > 0.05
    assert other.finding.startswith("no significant difference")
    _, lonely = findings({name: {3: seeds[3]} for name, seeds in points.items()}, against="one")
    assert lonely.finding == "one seed is not enough to tell a difference from luck"


def test_p_values_know_of_all_points() -> None:
    points = {"one": answers(lambda _: 0.3), **{f"p{i}": answers(lambda _, i=i: 0.42 + i / 500) for i in range(4)}}
    alone = findings({name: points[name] for name in ("one", "p0")}, against="one")[1]
    among = findings(points, against="one")[1]
    assert among.difference is not None and alone.difference is not None and among.p > alone.p
    assert among.difference.value == alone.difference.value
    assert among.difference.low < alone.difference.low and among.difference.high > alone.difference.high
    for one in findings(points, against="one")[1:]:
        assert one.difference is not None
        assert (one.difference.low <= 0 <= one.difference.high) == (one.p >= 0.05)


def test_points_that_share_no_question_are_not_compared() -> None:
    others = {s: [replace(r, id=f"other {r.id}") for r in rows] for s, rows in answers(lambda _: 0.3, "seen").items()}
    found = findings({"one": answers(lambda _: 0.9, "seen"), "other": others}, against="one")
    assert [(one.point, one.difference, one.finding) for one in found] == [("one", None, ""), ("other", None, "")]


def test_a_metric_that_nobody_was_scored_by_is_an_error() -> None:
    with pytest.raises(EvalError, match=r"scored by 'exact_mtch'. Did you mean 'exact_match'\?"):
        findings({"one": answers(lambda _: 0.3)}, against="one", metric="exact_mtch")


@pytest.mark.parametrize("axis", ["", "clusters <trained> on"])
def test_the_page_says_what_was_found(tmp_path: Path, axis: str) -> None:
    points = {"1": answers(lambda _: 0.3), "4": answers(lambda _: 0.7)}
    found = findings(points, against="1")
    page = write_page(tmp_path, "More <b>?", found, "1", axis, 5).read_text(encoding="utf-8")
    assert "More &lt;b&gt;?" in page and found[1].finding in page and "<b>?" not in page
    assert ("clusters &lt;trained&gt; on" in page) == bool(axis)
    assert page.count("<caption>") == 1 and not re.search(r"<th(?!ead| scope)", page)
    page = write_page(tmp_path, "More?", found, "1", axis, 5, "zh").read_text(encoding="utf-8")
    assert '<html lang="zh">' in page and "新的任务簇" in page and "提高" in page and "compared with" not in page
