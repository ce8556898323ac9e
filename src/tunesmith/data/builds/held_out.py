"""What is to be held out: a wish that names ids and a share, as in ``held_out.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from tunesmith.core.document import path_of
from tunesmith.core.errors import RecipeError
from tunesmith.core.settings import MOST_ROWS
from tunesmith.core.yaml_file import YamlFile

Place = Literal["train", "wording", "instance", "task", "cluster", "neither"]
PLACES: tuple[Place, ...] = ("train", "wording", "instance", "task", "cluster", "neither")
"""``neither``: new words on a new fact at once, which is no level; such a pair is not used."""


@dataclass(frozen=True)
class HeldOut:
    """What is to be held out. It names ids and a share, and depends on no seed: every run of a project
    holds out the same."""

    clusters: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Full ids: ``capital.en``."""
    wordings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Template names by task id."""
    wordings_per_task: int = 0
    """So many of each trained task that ``wordings`` does not name, chosen by a hash of their ids."""
    instance_fraction: float = 0.0
    """This share of the groups, chosen by a hash of their names."""
    groups: tuple[str, ...] = ()
    """Groups held out besides."""
    ids: tuple[str, ...] = ()
    """Examples held out besides, each with its whole group: the part of a row's id before the @."""
    salt: str = "tunesmith"
    """Changing it holds out other instances and, with ``wordings_per_task``, other wordings."""

    @classmethod
    def load(cls, path: Path | str) -> HeldOut:
        """Read a ``held_out.yaml``; all its problems are reported at once."""
        file = YamlFile.read(Path(path))
        value = file.value
        if not file.problems and not isinstance(value, dict):
            file.problem((), "wanted a mapping with the keys clusters, tasks, wordings, instances")
        if file.problems:
            raise RecipeError("\n".join(file.report()))
        file.check_keys((), value, ("clusters", "tasks", "wordings", "wordings_per_task", "instances", "salt"))
        wordings = _mapping(file, value, "wordings")
        instances = _mapping(file, value, "instances")
        file.check_keys(("instances",), instances, ("fraction", "groups", "ids"))
        found = cls(
            clusters=file.texts((), value, "clusters"),
            tasks=file.texts((), value, "tasks"),
            wordings={task: file.texts(("wordings",), wordings, task) for task in wordings},
            wordings_per_task=int(file.number((), value, "wordings_per_task", MOST_ROWS, whole=True)),
            instance_fraction=file.number(("instances",), instances, "fraction", 1),
            groups=file.texts(("instances",), instances, "groups"),
            ids=_ids(file, instances, Path(path).parent),
            salt=file.text((), value, "salt", "tunesmith"),
        )
        if file.problems:
            raise RecipeError("\n".join(file.report()))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` reads."""
        return {**asdict(self), "wordings": {task: list(names) for task, names in sorted(self.wordings.items())}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HeldOut:
        """The value that ``to_json`` wrote."""
        lists = {key: tuple(value[key]) for key in ("clusters", "tasks", "groups", "ids") if key in value}
        return cls(**{**value, **lists})

    def chooses(self, group: str) -> bool:
        """Whether the hash of its name holds a group out: SHA-256 of ``<salt>|<group>``, its first 8 bytes as
        a number below 2^64, against the fraction."""
        return group in self._groups or unit(f"{self.salt}|{group}") < self.instance_fraction

    def names(self, row: str) -> bool:
        """Whether the list of ids names a row, ``<example id>@<template id>``, and with it its group."""
        return bool(self.ids) and row.rpartition("@")[0] in self._ids

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.ids)

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(self.groups)


def _mapping(file: YamlFile, value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key) or {}
    if not isinstance(found, dict):
        file.problem((key,), f"{key!r} is wanted as a mapping")
        return {}
    return found


def _ids(file: YamlFile, value: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """The ids of a list, or of a file with one a line."""
    if not isinstance(value.get("ids"), str):
        return file.texts(("instances",), value, "ids")
    path = folder / path_of(value["ids"])
    if not path.is_file():
        file.problem(
            ("instances", "ids"), f"there is no file {path}; 'ids' is a list of ids, or a file with one a line"
        )
        return ()
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def unit(text: str) -> float:
    """A number in [0, 1) that a text always has."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
