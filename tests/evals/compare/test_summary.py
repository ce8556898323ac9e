"""Models side by side: all tasks together and each by itself, with p values that are honest for all of them."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.evals.compare.summary import standing
from tunesmith.evals.records import Record
from tunesmith.evals.statistics.intervals import holm, paired, paired_test

TASKS = ("a", "b", "c", "d")


def answers(model: str, rates: tuple[float, ...]) -> list[Record]:
    found = []
    for task, share in zip(TASKS, rates, strict=True):
        for i in range(40):
            right = np.random.default_rng([i, ord(task)]).random() < share
            found.append(
                Record(
                    id=f"{task}/{i}@{'xy'[i % 2]}", model=model, level="asked", format="instruction", shots=0,
                    metric="exact_match", task=task, cluster="", template=f"{task}/{'xy'[i % 2]}", language="en",
                    group=f"{task}{i}", prompt="?", answer="!", gold=("!",), value=float(right), finished=True,
                )
            )  # fmt: skip
    return found


BEFORE, AFTER = answers("before", (0.3, 0.3, 0.3, 0.3)), answers("after", (0.3, 0.45, 0.5, 0.9))


def test_every_task_and_all_of_them() -> None:
    lines = standing([*BEFORE, *AFTER], ["before", "after"])
    assert [line.task for line in lines] == ["", *TASKS]
    whole, first = lines[0].cells
    assert whole.rate.n == 160 and whole.difference is None and whole.wordings is None
    assert first.difference is not None
    assert first.difference.value == pytest.approx(
        np.mean([r.value for r in AFTER]) - np.mean([r.value for r in BEFORE])
    )
    assert all(cell.wordings is not None and cell.wordings.wordings == 2 for line in lines[1:] for cell in line.cells)


def test_p_values_know_how_many_tasks_were_looked_at() -> None:
    lines = standing([*BEFORE, *AFTER], ["before", "after"])
    tests = []
    for task in TASKS:
        a, b = ([r.value for r in side if r.task == task] for side in (BEFORE, AFTER))
        tests.append(paired_test(a, b))
    corrected = holm(tests)
    cells = [line.cells[1] for line in lines[1:]]
    assert [cell.p for cell in cells] == [one.p for one in corrected] != [test.p() for test in tests]
    for cell, one in zip(cells, corrected, strict=True):
        assert cell.difference and (cell.difference.low, cell.difference.high) == (one.low, one.high)
        assert (one.low <= 0 <= one.high) == (cell.p >= 0.05), "the interval and the p value say the same"
    a, b = ([r.value for r in side] for side in (BEFORE, AFTER))
    assert lines[0].cells[1].p == pytest.approx(paired(a, b).p), "all tasks together are looked at once"


def test_a_model_that_was_asked_other_questions_is_not_compared() -> None:
    some = [r for r in AFTER if r.task != "a"]
    lines = standing([*BEFORE, *some], ["before", "after"])
    assert [len(line.cells) for line in lines] == [2, 1, 2, 2, 2]
