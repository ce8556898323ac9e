"""Exceptions pass from one process to another: pickled and unpickled they are the same."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from typing import Any

import pytest

import tunesmith
from tunesmith.core.errors import TunesmithError, UnknownName

RUN_WHEN_IMPORTED = {"tunesmith.cli.__main__", "tunesmith.jail.warden", "tunesmith.jail.prisoner"}
VALUES: dict[str, Any] = {"str": "a word", "int": 7, "float": 1.5, "bool": True, "Iterable[str]": ["one", "two"]}


def exceptions() -> list[type[BaseException]]:
    """Every class of exception that the package defines."""
    found = {}
    for module in pkgutil.walk_packages(tunesmith.__path__, "tunesmith."):
        if module.name in RUN_WHEN_IMPORTED:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__.startswith("tunesmith")
            ):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return [found[name] for name in sorted(found)]


def made(kind: type[BaseException]) -> BaseException:
    """One of this class, with a value for everything that it asks for."""
    if kind.__init__ in (Exception.__init__, BaseException.__init__):
        return kind("a message")
    asked = list(inspect.signature(kind).parameters.values())
    positional = [VALUES.get(str(p.annotation), "a word") for p in asked if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name: VALUES[str(p.annotation)] for p in asked if p.kind is p.KEYWORD_ONLY}
    return kind(*positional, **named)


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_is_the_same_in_another_process(kind: type[BaseException]) -> None:
    error = made(kind)
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind
    assert str(there) == str(error)
    assert there.__dict__ == error.__dict__


def test_an_unknown_name_keeps_what_it_knows() -> None:
    error = UnknownName("Reader", "alpacca", ["alpaca", "table"])
    there = pickle.loads(pickle.dumps(error))
    assert str(there) == "Reader 'alpacca' is not known. Did you mean 'alpaca'? Known: alpaca, table."
    assert (there.name, there.close) == ("alpacca", "alpaca")


def test_all_that_is_told_to_a_user_is_one_family() -> None:
    from tunesmith.core import errors

    ours = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]
    assert ours and all(issubclass(kind, TunesmithError) for kind in ours)
    assert all(f"+-- {kind.__name__}" in (errors.__doc__ or "") for kind in ours if kind is not TunesmithError)
