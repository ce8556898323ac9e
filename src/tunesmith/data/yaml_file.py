"""A YAML file that remembers on which line everything stands, so that every problem can be pointed at.

In goes the text of a file; out come plain values (text, lists, mappings) and a line for each of them.
All scalars stay the text that was written: ``no`` is Norwegian and not False, ``1.0`` keeps its zero.
Who reads a number converts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import nearest

Where = tuple[str | int, ...]
"""A place in the file, from the top: ``("templates", 2, "target")``."""

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""The parser in C reads a file some ten times faster; the result is the same."""


@dataclass
class YamlFile:
    """The values of one file, their lines, and the problems found so far."""

    file: str
    value: Any = None
    lines: dict[Where, int] = field(default_factory=lambda: {(): 1})
    problems: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, name: str | None = None) -> YamlFile:
        """Read a file. What is wrong with it as YAML is already among the problems."""
        found = cls(name or str(path))
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            found.problem((), f"this file cannot be read: {error.strerror}")
            return found
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            found.problems.append((line, "this line is not UTF-8; save the file as UTF-8"))
            return found
        try:
            node = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            found.problems.append((mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}"))
            return found
        except yaml.YAMLError as error:
            found.problem((), f"this is not YAML: {str(error).splitlines()[0]}")
            return found
        if node is None:
            found.problem((), "the file is empty")
        else:
            found.value = found._plain(node, (), frozenset())
        return found

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        return next(self.lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in self.lines)

    def problem(self, where: Where, what: str) -> None:
        """Note what is wrong with a place."""
        self.problems.append((self.line(where), what))

    def report(self) -> list[str]:
        """``file:line: what``, in the order of the file."""
        return [f"{self.file}:{line}: {what}" for line, what in sorted(self.problems, key=lambda p: p[0])]

    def check_keys(self, where: Where, value: Mapping[str, Any], known: Iterable[str]) -> None:
        """Every key that nobody reads is a problem."""
        names = list(known)
        for key in value:
            if key not in names:
                self.problem((*where, key), f"unknown key {key!r}{near(key, names)}")

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

    def texts(self, where: Where, value: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        found = value.get(key, [])
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list) or not all(isinstance(item, str) and item.strip() for item in found):
            self.problem((*where, key), f"{key!r} is {_shown(found)}, wanted a list of texts")
            return ()
        return tuple(found)

    def _plain(self, node: yaml.Node, where: Where, above: frozenset[int]) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if id(node) in above:
            self.problem(where, "an alias that contains itself")
            return None
        above |= {id(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*where, i), above) for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return node.value
        found: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append((line, "this key is not a plain name"))
                continue
            inner = (*where, key.value)
            if key.value in found:
                self.problems.append((line, f"the key {key.value!r} is given twice; first on line {self.lines[inner]}"))
                continue
            self.lines[inner] = line
            found[key.value] = self._plain(item, inner, above)
        return found


def near(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says which name was probably meant, or which there are."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return repr(value) if value else "empty"
