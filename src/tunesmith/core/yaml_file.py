"""A task file or a held-out file: texts, lists and mappings, each with its line.

All scalars stay the text that was written: ``no`` is Norwegian and not False, ``1.0`` keeps its zero.
Who reads a number converts it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.document import MOST_TOLD, Document, Where
from tunesmith.core.errors import near


@dataclass
class YamlFile:
    """The values of one file, their lines, and the problems found so far."""

    file: str
    document: Document
    problems: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, name: str | None = None, tags: Collection[str] = ()) -> YamlFile:
        """Read a file. What is wrong with it as YAML is already among the problems."""
        document = Document.open(path, name or str(path), typed=False, tags=tags)
        found = cls(document.file, document)
        for problem in document.problems:
            found.problems.append((problem.line or document.line(problem.where), document.told(problem)))
        return found

    @property
    def value(self) -> Any:
        """What the file holds; None where it cannot be read."""
        return self.document.value

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        return self.document.line(where)

    def problem(self, where: Where, what: str) -> None:
        """Note what is wrong with a place."""
        self.problems.append((self.line(where), what))

    def report(self) -> list[str]:
        """``file:line: what``, in the order of the file."""
        return [f"{self.file}:{line}: {what}" for line, what in sorted(self.problems, key=lambda p: p[0])]

    def check_keys(self, where: Where, value: Mapping[str, Any], known: Iterable[str]) -> None:
        """Every key that nobody reads is a problem."""
        names = list(known)
        wrong = [key for key in value if key not in names]
        for key in wrong[:MOST_TOLD]:
            self.problem((*where, key), f"unknown key {key[:80]!r}{near(key, names)}")
        if len(wrong) > MOST_TOLD:
            self.problem(where, f"and {len(wrong) - MOST_TOLD:,} more unknown keys")

    def text(self, where: Where, value: Mapping[str, Any], key: str, default: str | None = None) -> str:
        """A text that has to be there, unless there is a default."""
        if key not in value:
            if default is None:
                self.problem(where, f"the key {key!r} is missing")
            return default or ""
        found = value[key]
        if not isinstance(found, str) or not found.strip():
            self.problem((*where, key), f"{key!r} is {_shown(found)}, wanted a text")
            return ""
        return found

    def number(self, where: Where, value: Mapping[str, Any], key: str, most: float, *, whole: bool = False) -> float:
        """A number from 0 to ``most``; 0 where it is left out."""
        found = value.get(key, "0")
        form = r"[0-9]{1,12}" if whole else r"[0-9]{1,12}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?|\.[0-9]{1,30}"
        if not isinstance(found, str) or not re.fullmatch(form, found) or not 0 <= float(found) <= most:
            wanted = f"a {'whole ' if whole else ''}number from 0 to {most:,}"
            self.problem((*where, key), f"{key!r} is {_shown(found)[:80]}, wanted {wanted}")
            return 0.0
        return float(found)

    def texts(self, where: Where, value: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        found = value.get(key, [])
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list) or not all(isinstance(item, str) and item.strip() for item in found):
            self.problem((*where, key), f"{key!r} is {_shown(found)}, wanted a list of texts")
            return ()
        return tuple(found)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return repr(value) if value else "empty"
