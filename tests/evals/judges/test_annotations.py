"""Annotations as AlpacaEval keeps them, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core.errors import EvalError
from tunesmith.evals.judges.annotations import read_annotations, read_reference


def one(i: int, preference: Any, **more: Any) -> dict[str, Any]:
    return {
        "instruction": f"Do {i}", "output_1": "x" * 10, "output_2": "y" * i, "generator_1": "base",
        "generator_2": "mine", "preference": preference, **more,
    }  # fmt: skip


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_preferences_are_read(tmp_path: Path) -> None:
    found = read_annotations(
        written(tmp_path / "a.json", [one(0, 1), one(1, 2.0), one(2, 1.25), one(3, 0), one(4, None)])
    )
    assert (found.model, found.baseline, found.unread) == ("mine", "base", 1)
    assert [row.preferred for row in found.rows] == [0, 1, 0.25, 0.5] and found.places == (0, 1, 2, 3)
    assert [row.shorter for row in found.rows] == [10, 9, 8, 7]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('[{"preference": NaN}]', "NaN is no JSON number"),
        ({}, "wanted a list of annotations"),
        ([], "wanted a list of annotations"),
        ([3], "annotation 1: wanted an object"),
        ([one(0, 1), one(1, 2, output_2=None)], "annotation 2: output_2 is null; wanted a text"),
        ([one(0, 3)], "preference is 3; wanted 1"),
        ([one(0, True)], "preference is True"),
        ([one(0, "1")], "preference is '1'"),
        ([one(0, None)], "none of its 1 annotations has a preference"),
        ([one(0, 1), one(1, 1, generator_2="other")], "one model against one baseline; found mine against base, other"),
    ],
)
def test_what_is_no_annotation(tmp_path: Path, value: Any, says: str) -> None:
    with pytest.raises(EvalError, match=says):
        read_annotations(written(tmp_path / "a.json", value))


HEAD = "index,preference,model,std_delta_len,instruction_difficulty,not_gamed_baseline\n"


def test_the_reference_is_read(tmp_path: Path) -> None:
    text = HEAD + "".join(f"{i},{0.1 * i},{m},{i - 1},{i / 2},False\n" for m in ("short", "long") for i in range(3))
    found = read_reference(written(tmp_path / "g.csv", text))
    assert found.difficulty == (0, 0.5, 1) and found.gamed.lengths == pytest.approx(np.tanh([-1, 0, 1] * 2))
    side = read_annotations(written(tmp_path / "a.json", [one(9, None), one(1, 1), one(2, 2)]))
    assert found.by_instruction(side) == {"Do 1": 0.5, "Do 2": 1}, "by the place in the file, as the original does"
    longer = read_annotations(written(tmp_path / "b.json", [one(i, 1) for i in range(4)]))
    with pytest.raises(EvalError, match="more instructions than the 3"):
        found.by_instruction(longer)
    for bad in (
        HEAD,
        "a,b\n1,2\n",
        HEAD + "0,x,m,1,1,False\n",
        HEAD + "0,nan,m,1,1,False\n",
        HEAD + "1,0,m,1,1,False\n",
    ):
        with pytest.raises(EvalError, match="wanted"):
            read_reference(written(tmp_path / "bad.csv", bad))
