"""Every number of every setting has bounds; true is no number, and an empty text names nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tunesmith.core.document import Problem
from tunesmith.core.errors import RecipeError
from tunesmith.core.settings import Settings, check, find_file
from tunesmith.evals.asking.suite import Suite
from tunesmith.pipeline import recipe  # registers what a recipe can name
from tunesmith.pipeline.ablation import Ablation
from tunesmith.stages.stage import KINDS

ROOTS: list[type[BaseModel]] = [recipe.Top, Ablation, Suite, *(KINDS[kind] for kind in KINDS)]


def classes() -> list[type[BaseModel]]:
    """Every settings class that a file can reach."""
    found: dict[type[BaseModel], None] = {}

    def visit(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found[kind] = None
            for info in kind.model_fields.values():
                visit(info.annotation)
        for arg in get_args(kind):
            visit(arg)

    for root in ROOTS:
        visit(root)
    return list(found)


def unbounded(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """The numbers in an annotation that lack a lowest or a highest value."""
    if get_origin(annotation) is Literal:
        return
    args = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        extra: list[Any] = []
        for mark in annotation.__metadata__:
            extra += mark.metadata if isinstance(mark, FieldInfo) else [mark]
        yield from unbounded(args[0], [*metadata, *extra])
    elif get_origin(annotation) in (list, tuple, dict):
        for arg in args:
            yield from unbounded(arg, [])
    elif args:
        for arg in args:
            yield from unbounded(arg, metadata)
    elif annotation in (int, float):
        low = any(isinstance(mark, Ge | Gt) for mark in metadata)
        high = any(isinstance(mark, Le | Lt) for mark in metadata)
        if not (low and high):
            yield annotation


FIELDS = [(kind, name) for kind in classes() for name in kind.model_fields]


def test_the_walk_finds_what_there_is() -> None:
    names = {kind.__name__ for kind in classes()}
    assert {"TrainSettings", "TuneSettings", "Adapter", "Mixture", "FewShotRows", "Cleaning", "Near", "Suite"} <= names
    assert len(FIELDS) > 150
    assert list(unbounded(int, [])) == [int]
    assert list(unbounded(float | None, [Ge(0)])) == [float]
    assert list(unbounded(list[int], [Ge(0), Le(9)])) == [int], "a bound of the list is none of its items"


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_number_has_bounds(kind: type[BaseModel]) -> None:
    assert issubclass(kind, Settings), "only these refuse an unknown key, nan and true"
    for name, info in kind.model_fields.items():
        assert not list(unbounded(info.annotation, info.metadata)), f"{kind.__name__}.{name} needs ge and le"


def told(kind: type[BaseModel], name: str, value: Any) -> list[Problem]:
    return [p for p in check(kind, {name: value}).problems if p.where and p.where[0] == name]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_what_no_setting_takes(kind: type[BaseModel], name: str) -> None:
    kinds = set(_leaves(kind.model_fields[name].annotation))
    if kinds & {int, float} and Any not in kinds:
        for value in (math.inf, -math.inf, math.nan, 1e308, 10**18, -(10**18), -1, *([] if bool in kinds else [True])):
            assert told(kind, name, value), f"{name} takes {value}"
            if get_origin(kind.model_fields[name].annotation) is list:
                assert told(kind, name, [value]), f"{name} takes a list with {value}"
    if str in kinds and Any not in kinds:
        assert told(kind, name, ""), f"{name} takes an empty text"


def _leaves(annotation: Any) -> Iterator[Any]:
    args = get_args(annotation)
    if args and get_origin(annotation) is not Literal:
        for arg in args:
            yield from _leaves(arg)
    else:
        yield annotation


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", math.inf, "found inf, wanted a finite number"),
        ("lr", 1e308, "found 1e+308, wanted less than or equal to 1"),
        ("lr", 0, "found 0, wanted greater than 0"),
        ("lr", True, "found true, wanted a number, and true and false are none"),
        ("weight_decay", math.inf, "found inf, wanted a finite number"),
        ("steps", 10**18, "found 1000000000000000000, wanted less than or equal to 100000000"),
        ("steps", "7" * 5000, "found '777777777"),
        ("track", [""], "found ''; known: tensorboard"),
        ("freeze", [""], "found an empty text; leave the key out where nothing is meant"),
    ],
)
def test_the_slips_of_a_training(key: str, value: Any, said: str) -> None:
    (problem,) = check(KINDS["sft"], {"kind": "sft", "model": "a", "data": "b", "train": {key: value}}).problems
    assert problem.what.startswith(said) and len(problem.what) < 250


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        KINDS["report"](kind="report", data="a", scores="b").title = "c"  # type: ignore[attr-defined]


def test_a_name_that_no_file_can_have(tmp_path: Any) -> None:
    for name in ("x" * 5000, "a\0b", ""):
        with pytest.raises(RecipeError, match="There is no recipe file") as caught:
            find_file(name, tmp_path, "recipe file")
        assert len(str(caught.value)) < 300
