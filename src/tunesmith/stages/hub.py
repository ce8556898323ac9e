"""Models of the hub in a recipe: ``model: hub:org/name`` or ``hub:org/name@revision``.

Weights as safetensors, configuration and tokenizer are fetched once into the hub's own cache; from there the folder is
used as any other. A branch is looked up again at each run, and a stage whose branch has moved on runs again; give a
revision where that is not wanted. Private models need a token: ``hf auth login``.
"""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.core.document import path_of
from tunesmith.core.errors import RecipeError

PREFIX = "hub:"
_NAME = re.compile(r"hub:[\w.-]+/[\w.-]+(@[\w./-]+)?")


def problem(name: str) -> str:
    """What is wrong with a name that begins with hub:, if anything is."""
    return "" if _NAME.fullmatch(name) else f"{name!r} is not hub:owner/model or hub:owner/model@revision"


def is_folder(name: str) -> bool:
    """Whether a reference names a folder that is there; a name that no folder can have is none."""
    try:
        return path_of(name).is_dir()
    except RecipeError:
        return False


def place(name: str) -> Path:
    """Where the folder is that a recipe means: a model of the hub is fetched if need be."""
    if not name.startswith(PREFIX):
        return path_of(name)
    from tunesmith.models.hub import fetch

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    return fetch(repository, revision or None)
