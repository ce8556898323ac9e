"""YAML that a person writes: plain values, the line of each value, and every problem in words.

    document = Document.read(text, "my.yaml")          or Document.open(path)
    document.value                                      {"stages": {"tune": {"lr": 0.001}}}
    document.line(("stages", "tune", "lr"))             14
    raise RecipeError(document.report(problems))        my.yaml:14: stages.tune.lr: ...

Recipes, suites, ablations, task files and held-out files are all read here, as YAML 1.2: only ``true`` and ``false``
are truth values (``on``, ``yes`` and ``no`` are words), ``010`` is ten, ``0o10`` is eight, dates and ``12:30`` are
texts. Keys are always texts. ``<<: *anchor`` merges, as everywhere. A file that no person wrote is refused early: too
large, too deep, binary, or a few lines of aliases that stand for a billion values.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from tunesmith.core.errors import RecipeError, counted

Where = tuple[str | int, ...]
"""A place in the file, from the top: ``("stages", "tune", "train", "lr")``."""

MOST_BYTES = 32 * 1024 * 1024
MOST_VALUES = 1_000_000
"""Of one file, with every alias written out."""
MOST_DEEP = 100
MOST_TOLD = 50
"""Problems of one file that are told."""

_PARSER: Any = getattr(yaml, "CLoader", yaml.Loader)
"""Only its parser is used, which gives events; nothing of PyYAML makes a value here. In C it is ten times faster."""
_STRANGE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a YAML file cannot have."""
_HINTS = {
    "mapping values are not allowed": "put a text that contains ': ' in quotes",
    "cannot start any token": "indent with spaces, and put a text that begins with @ % ` or a tab in quotes",
    "did not find expected key": "look at the indentation, and at quotes inside of quotes",
    "did not find expected ',' or": "look for a bracket or a comma that is missing",
    "found unexpected end of stream": "look for a quote that is not closed",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    where: Where
    what: str
    line: int = 0
    """Where the file says nothing of the place itself; 0: the line of the place."""


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values; each of them knows its line."""

    value: Any
    file: str
    problems: tuple[Problem, ...] = ()
    root: _Node | None = None
    text: str = ""
    """The file as it was read."""

    @classmethod
    def open(cls, path: Path, file: str = "", **how: Any) -> Document:
        """Read a file; ``how`` is as for ``read``."""
        file = file or str(path)
        try:
            text = _decoded(path)
        except _Refused as error:
            return cls(None, file, (error.problem,))
        return cls.read(text, file, **how)

    @classmethod
    def read(cls, text: str, file: str, *, typed: bool = True, tags: Collection[str] = ()) -> Document:
        """Read a text; ``file`` is its name in messages. Without ``typed`` each scalar stays the text that was
        written: ``1.0`` keeps its zero. ``tags`` are those that are read past; any other tag is a problem."""
        text = text.removeprefix("\ufeff")
        if strange := _STRANGE.search(text):
            line = text.count("\n", 0, strange.start()) + 1
            what = f"the character {strange.group()!a} cannot be in a YAML file; is this a text file in UTF-8?"
            return cls(None, file, (Problem((), what, line),))
        reading = _Reading(typed, tags)
        try:
            for event in yaml.parse(text, Loader=_PARSER):
                reading.take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = str(error.problem or error.context)
            hint = next((f"; {hint}" for known, hint in _HINTS.items() if known in said), "")
            reading.problems.append(Problem((), f"this is not YAML: {said}{hint}", mark.line + 1 if mark else 1))
        except yaml.YAMLError as error:
            reading.problems.append(Problem((), f"this is not YAML: {str(error).splitlines()[0]}"))
        except _Refused as error:
            reading.problems.append(error.problem)
        root = reading.root
        if root is None and not reading.problems:
            reading.problems.append(Problem((), "the file is empty"))
        value = None if root is None or reading.problems else _value(root)
        return cls(value, file, tuple(reading.problems), root, text)

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        node, line = self.root, 1
        for part in where:
            found = node.at(part) if node is not None else None
            if found is None:
                break
            line, node = found
        return line

    def told(self, problem: Problem) -> str:
        """A problem with its place: ``stages.tune.lr: found -1, ...``."""
        place = ""
        for part in problem.where:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place and part else str(part)
        return f"{place[:200]}: {problem.what}" if place else problem.what

    def report(self, problems: list[Problem]) -> str:
        """All problems in the order of the file, a line each."""
        lined = sorted(((p.line or self.line(p.where), p) for p in problems), key=lambda found: found[0])
        rows = [f"{self.file}:{line}: {self.told(p)}" for line, p in lined[:MOST_TOLD]]
        more = [f"and {len(lined) - MOST_TOLD:,} more"] if len(lined) > MOST_TOLD else []
        return "\n".join([f"{counted(len(lined), 'problem')} in {self.file}", *rows, *more])


def path_of(name: str | Path) -> Path:
    """The path that a person wrote; ``~`` is the home folder. What no file can be called is told."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{str(name)[:80]!r} is no path of a file: {said}") from None
    return path


def written(value: Any) -> str:
    """A value as YAML that ``Document.read`` reads back as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def shipped(path: Path) -> Any:
    """The value of a file that the package carries."""
    document = Document.open(path)
    assert not document.problems, document.report(list(document.problems))
    return document.value


# -- from events to values ---------------------------------------------------------------------------------------------


class _Refused(Exception):
    """Reading ends here."""

    def __init__(self, what: str, line: int = 0) -> None:
        self.problem = Problem((), what, line)


def _decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 where its first bytes say so."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _Refused(f"this file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MOST_BYTES:
        raise _Refused(f"this file is larger than {MOST_BYTES >> 20} MB; a file that is written by hand is wanted")
    code = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(code)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Refused(f"this line is not {code[:6].rstrip('-').upper()}; save the file as UTF-8", line) from None


@dataclass(slots=True)
class _Node:
    """A scalar; or what the two kinds of collections have in common."""

    value: Any = None
    line: int = 0
    size: int = 1
    """Values in it, with every alias written out."""
    depth: int = 1
    open: bool = False
    """Whether its end has not been read yet."""

    def at(self, part: str | int) -> tuple[int, _Node] | None:
        """The line and the node of one part of it."""
        return None


@dataclass(slots=True)
class _Items(_Node):
    items: list[tuple[int, _Node]] = field(default_factory=list)

    def at(self, part: str | int) -> tuple[int, _Node] | None:
        return self.items[part] if isinstance(part, int) and 0 <= part < len(self.items) else None


@dataclass(slots=True)
class _Keys(_Node):
    keys: dict[str, tuple[int, _Node]] = field(default_factory=dict)
    merged: list[_Keys] = field(default_factory=list)
    """What ``<<`` names; the earlier wins, and the own keys before all."""
    key: str | None = None
    """The key whose value comes next."""
    key_line: int = 0
    use: Literal["keep", "merge", "skip"] = "keep"
    """What becomes of that value; it is skipped where its key is a problem already."""

    def at(self, part: str | int) -> tuple[int, _Node] | None:
        if part in self.keys:
            return self.keys[str(part)]
        return next((found for other in self.merged if (found := other.at(part))), None)


class _Reading:
    """Takes the events of one file, and makes nodes of them. Nothing in it is recursive."""

    def __init__(self, typed: bool, tags: Collection[str]) -> None:
        self.root: _Node | None = None
        self.problems: list[Problem] = []
        self._typed, self._tags = typed, tags
        self._open: list[_Items | _Keys] = []
        self._anchors: dict[str, _Node] = {}

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                node = self._anchors.get(str(event.anchor))
                if node is None:
                    raise _Refused(f"there is no anchor &{event.anchor} above this alias", line)
                if node.open:
                    self._problem(line, "an alias that contains itself")
                    node = _Node()
                self._put(node, line)
            case yaml.CollectionStartEvent():
                many = isinstance(event, yaml.SequenceStartEvent)
                self._check_tag(event, line, "seq" if many else "map")
                new: _Items | _Keys = _Items(line=line, open=True) if many else _Keys(line=line, open=True)
                if event.anchor:
                    self._anchors[event.anchor] = new
                self._open.append(new)
                if len(self._open) > MOST_DEEP:
                    raise _Refused(f"more than {MOST_DEEP} levels of brackets or indentation", line)
            case yaml.CollectionEndEvent():
                closed = self._open.pop()
                closed.open = False
                self._put(closed, closed.line)
            case yaml.DocumentStartEvent() if self.root is not None:
                raise _Refused("a second document begins here (---); one file holds one", line)

    def _scalar(self, event: Any, line: int) -> None:
        holder = self._open[-1] if self._open else None
        if isinstance(holder, _Keys) and holder.key is None:  # a key is always a text
            self._key(holder, event.value, line, event.implicit[0])
            if event.anchor:
                self._anchors[event.anchor] = _Node(event.value)
            return
        node = _Node(event.value)
        tag = self._check_tag(event, line, "str", "int", "float", "bool", "null")
        if self._typed and (tag or event.implicit[0]):
            try:
                node.value = _typed(event.value, tag)
            except ValueError as error:
                self._problem(line, str(error))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._put(node, line)

    def _key(self, holder: _Keys, name: str, line: int, plain: bool) -> None:
        holder.key, holder.key_line = name, line
        holder.use = "merge" if name == "<<" and plain else "keep"
        if holder.use == "keep" and name in holder.keys:
            self._problem(line, f"this key is given twice; first on line {holder.keys[name][0]}")
            holder.use = "skip"

    def _put(self, node: _Node, line: int) -> None:
        """Put a node that is whole where it belongs."""
        if not self._open:
            self.root = node
            return
        holder = self._open[-1]
        if isinstance(holder, _Items):
            holder.items.append((line, node))
        elif holder.key is None:
            if type(node) is _Node:
                self._key(holder, str(node.value), line, plain=False)
                return
            self._problem(line, "this key is not a plain name")
            holder.key, holder.use = "", "skip"  # its value is read past
            return
        else:
            if holder.use == "merge":
                self._merge(holder, node, line)
            elif holder.use == "keep":
                holder.keys[holder.key] = (holder.key_line, node)
            holder.key = None
        holder.size += node.size
        holder.depth = max(holder.depth, node.depth + 1)
        if holder.size > MOST_VALUES:
            raise _Refused(f"up to here the file has more than {MOST_VALUES:,} values, aliases written out", line)
        if holder.depth + len(self._open) > MOST_DEEP:
            raise _Refused(f"more than {MOST_DEEP} levels, aliases written out", line)

    def _merge(self, holder: _Keys, node: _Node, line: int) -> None:
        many = [item for _, item in node.items] if isinstance(node, _Items) else [node]
        if not many or not all(isinstance(one, _Keys) for one in many):
            self._problem(line, "<< is wanted with a mapping that is named above: <<: *name")
        holder.merged += [one for one in many if isinstance(one, _Keys)]

    def _check_tag(self, event: Any, line: int, *known: str) -> str:
        """The kind that a tag of YAML names, if there is one."""
        tag = str(event.tag or "")
        if tag in ("", "!") or tag in self._tags:
            return "str" if tag == "!" else ""
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind == tag or kind not in known:
            short = "!!" + kind if kind != tag else tag
            self._problem(line, f"the tag {short[:60]} is not read here; write plain values")
            return ""
        return kind

    def _where(self) -> Where:
        """The place of what is read now."""
        parts: list[str | int] = []
        for node in self._open:
            if isinstance(node, _Items):
                parts.append(len(node.items))
            elif node.key is not None:
                parts.append(node.key)
        return tuple(parts)

    def _problem(self, line: int, what: str) -> None:
        self.problems.append(Problem(self._where(), what, line))


_KINDS = {
    "null": re.compile(r"null|Null|NULL|~|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
}
"""The core schema of YAML 1.2 (10.3.2); what is none of these is a text."""


def _typed(text: str, tag: str) -> Any:
    """The value that a scalar without quotes stands for, or one with a tag."""
    kind = tag or next((kind for kind, form in _KINDS.items() if form.fullmatch(text)), "str")
    if kind == "str":
        return text
    if not _KINDS[kind].fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not what !!{kind} says")
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "float":
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".nan", "nan"))
    if len(text) > 100:
        raise ValueError(f"a number with {len(text):,} digits; put a text in quotes")
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _value(node: _Node) -> Any:
    """The plain value of a node. An alias is a copy: a change in one place changes no other."""
    if isinstance(node, _Items):
        return [_value(item) for _, item in node.items]
    if isinstance(node, _Keys):
        found: dict[str, Any] = {}
        for other in reversed(node.merged):
            found |= _value(other)
        return found | {key: _value(item) for key, (_, item) in node.keys.items()}
    return node.value


class _Dumper(yaml.SafeDumper):
    """Writes what YAML 1.2 reads back: a text that looks like a number in either version stands in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind in ("int", "float"):
    _form = re.compile(rf"^(?:{_KINDS[_kind].pattern})$")
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _form, list("-+0123456789."))
