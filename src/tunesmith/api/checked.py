"""Keyword arguments as settings: the same checks and the same words as for a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from tunesmith.core.errors import RecipeError
from tunesmith.core.settings import check

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """The settings, or one error that lists every problem. ``what`` takes them, in words: "fit()"."""
    found = check(model, dict(values))
    if found.value is None:
        told = [f"{'.'.join(map(str, problem.where)) or 'settings'}: {problem.what}" for problem in found.problems]
        raise RecipeError("\n".join([f"{what}:", *told]) if len(told) > 1 else f"{what}: {told[0]}")
    return found.value
