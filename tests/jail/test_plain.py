"""Values cross as plain data, and nothing else does."""

from __future__ import annotations

import collections
import datetime
import json
import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tunesmith.jail.plain import pack, unpack


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def lend(value: Any) -> list[Any]:
    return ["lent", 7, type(value).__name__]


def take(kind: str, body: list[Any]) -> Any:
    if kind != "lent":
        raise ValueError(kind)
    return kind, *body


def through(value: Any) -> Any:
    sent = json.loads(json.dumps(pack(value, lend, {"Point": Point})))
    return unpack(sent, take, {"Point": Point})


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**53,
    -(2**5000),
    1.5,
    -0.0,
    1e-320,
    math.inf,
    "",
    "ä\ud83d\x00",
    "你好",
    b"\xff",
    bytearray(b"a"),
    1 + 2j,
    [],
    [1, [2]],
    (1, (2,)),
    (),
    {1, 2},
    frozenset([(1, 2)]),
    {},
    {1: "a", "1": [2]},
    {(1, 2): {3}},
    range(1, 9, 2),
    Decimal("1.50"),
    Fraction(1, 3),
    datetime.date(2024, 2, 29),
    datetime.datetime(2024, 1, 1, 5),
    datetime.time(5, 6),
    datetime.timedelta(1, 2, 3),
    collections.OrderedDict(b=1, a=2),
    collections.Counter("hello"),
    collections.deque([1, 2], 5),
    int,
    dict,
    ValueError,
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    assert through(value) == value and type(through(value)) is type(value)
    assert through([value, {"a": (value,)}]) == [value, {"a": (value,)}]


def test_what_is_nearly_plain_arrives_plain() -> None:
    class Sly(list):  # type: ignore[type-arg]
        def __eq__(self, other: object) -> bool:
            return True

        def __iter__(self) -> Any:
            return iter([9])

    class Number(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert type(through(Sly([1]))) is list and through(Sly([1])) == [1]
    assert type(through(Number(3))) is int and through(Number(3)) != 4
    assert through(collections.defaultdict(list, a=[1])) == {"a": [1]}
    assert math.isnan(through(math.nan)) and math.copysign(1, through(-0.0)) == -1
    assert through(np.float32(1.5)) == 1.5 and through(np.bool_(True)) is True
    array = through(np.arange(6, dtype="int8").reshape(2, 3))
    assert array.dtype == "int8" and array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_objects_of_a_class_that_both_know_cross_by_their_attributes() -> None:
    point = through([Point(3)])[0]
    assert type(point) is Point and point.x == 3
    assert through(len) == ("lent", 7, "builtin_function_or_method")
    assert through(object()) == ("lent", 7, "object")


def test_hostile_data_becomes_nothing() -> None:
    for data in (
        {},
        [],
        ["list"],
        [1, 2],
        ["evil", 1],
        ["yours", 3],
        ["type", "eval"],
        ["type", "__import__"],
        ["type", 3],
        ["object", "Point", [["tuple", ["__class__", ["type", "int"]]]]],
        ["object", "Path", []],
        ["array", "object", [1], [1]],
        ["dict", [1]],
        ["set", [["list", []]]],
        ["int", "zz"],
        ["bytes", 3],
        ["Decimal", []],
        ["range", ["a"]],
        ["Counter", 3],
        ["complex", 1],
        ["tuple", None],
        ["datetime", "now"],
        ["list", [[]]],
    ):
        with pytest.raises((ValueError, TypeError, ArithmeticError, IndexError)):
            unpack(data, take, {"Point": Point})


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.full)])
def test_any_json_becomes_plain_values_or_an_error(count: int) -> None:
    chance = random.Random(1)
    names = [
        "list",
        "tuple",
        "set",
        "dict",
        "int",
        "range",
        "bytes",
        "Decimal",
        "type",
        "object",
        "array",
        "deque",
        "lent",
        "Counter",
        "complex",
        "Fraction",
        "time",
    ]

    def some(depth: int) -> Any:
        choice = chance.randrange(9 if depth else 5)
        if choice < 5:
            return chance.choice([None, True, 3, -2.5, "x", "int", "Point", "0x1f", "1/3"])
        if choice < 7:
            return [chance.choice(names), *(some(depth - 1) for _ in range(chance.randrange(1, 4)))]
        return [some(depth - 1) for _ in range(chance.randrange(4))]

    allowed = (
        type(None),
        bool,
        int,
        float,
        str,
        complex,
        bytes,
        bytearray,
        list,
        tuple,
        set,
        frozenset,
        dict,
        range,
        type,
    )
    allowed += (
        Decimal,
        Fraction,
        Point,
        np.ndarray,
        collections.deque,
        datetime.date,
        datetime.time,
        datetime.timedelta,
    )
    made = 0
    for _ in range(count):
        try:
            value = unpack(some(4), take, {"Point": Point})
        except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError):
            continue
        assert isinstance(value, allowed)
        made += 1
    assert made > count / 20
