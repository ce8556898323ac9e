"""A YAML file that a person writes, checked whole: every value with its line, every problem with the nearest name.

    document = Document.read(text, "my.yaml")
    found = check(Settings, document.value)             a pydantic model says what is right
    raise RecipeError(document.report(found.problems))

Recipes, suites and ablations are such files. All problems are told at once, in the order of the file:

    my.yaml:14: stages.tune.lerning_rate: unknown key; did you mean 'learning_rate'?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tunesmith.errors import RecipeError, nearest

Where = tuple[str | int, ...]
"""A place in the file, from the top: ``("stages", "tune", "optimizer", "peak")``."""
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    where: Where
    what: str


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values, with the line on which each of them stands."""

    value: Any
    lines: Mapping[Where, int]
    file: str
    problems: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, text: str, file: str) -> Document:
        """Read a text; ``file`` is its name in messages."""
        lines: dict[Where, int] = {(): 1}
        problems: list[Problem] = []
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return cls(None, lines, file, (Problem((), "the file is empty"),))
            _walk(node, (), lines, problems, set())
            value = None if problems else loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            lines[("",)] = (mark.line + 1) if mark else 1
            what = f"this is not YAML: {error.problem or error.context}"
            return cls(None, lines, file, (Problem(("",), what),))
        except yaml.YAMLError as error:
            return cls(None, lines, file, (Problem((), f"this is not YAML: {error}"),))
        finally:
            loader.dispose()
        return cls(value, lines, file, tuple(problems))

    def line(self, where: Where) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.lines:
                return self.lines[where[:end]]
        return 1

    def report(self, problems: list[Problem]) -> str:
        """All problems in the order of the file, a line each."""
        ordered = sorted(problems, key=lambda problem: self.line(problem.where))
        rows = [f"{self.file}:{self.line(p.where)}: {_dotted(p.where)}{p.what}" for p in ordered]
        count = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
        return "\n".join([f"{count} in {self.file}", *rows])


class _Loader(yaml.SafeLoader):
    """The safe loader, which also reads ``1e-3`` as the number that everyone means (YAML 1.2)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*)?\.[0-9_]+|[0-9][0-9_]*\.?)(?:[eE][-+]?[0-9]+)$|^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)$"
        r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def _walk(node: yaml.Node, where: Where, lines: dict[Where, int], problems: list[Problem], above: set[int]) -> None:
    """Note the line of everything below a node; find duplicate keys and aliases that contain themselves."""
    lines.setdefault(where, node.start_mark.line + 1)
    if id(node) in above:
        problems.append(Problem(where, "an alias that contains itself"))
        return
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(where, f"the key on line {line} is not a plain name"))
                continue
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            inner = (*where, key.value)
            if key.value in seen:
                lines[(*inner, "")] = line
                problems.append(Problem((*inner, ""), f"this key is given twice; first on line {seen[key.value]}"))
                continue
            seen[key.value] = line
            lines[inner] = line
            _walk(item, inner, lines, problems, above)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _walk(item, (*where, i), lines, problems, above)


def _dotted(where: Where) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text and part else str(part)
    return f"{text}: " if text else ""


# -- checking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked(Generic[Model]):
    """A value of the model, or what is wrong."""

    value: Model | None = None
    problems: list[Problem] = field(default_factory=list)


def find_file(name: str, shipped: Path, what: str) -> Path:
    """A file that a person names: a path, or the name of one of those that are shipped."""
    path, built_in = Path(name), shipped / f"{name.removesuffix('.yaml')}.yaml"
    if path.is_file():
        return path
    if built_in.is_file():
        return built_in
    names = sorted(file.stem for file in shipped.glob("*.yaml"))
    close = nearest(name, names)
    hint = f" Did you mean {close!r}?" if close else ""
    raise RecipeError(
        f"There is no {what} {name!r}.{hint} Give the path of a YAML file, or a built-in name: {', '.join(names)}."
    )


def load(model: type[Model], path: Path | str, what: str) -> Model:
    """The file of a model, or one ``RecipeError`` that lists every problem. ``what`` it is, in words: "a suite"."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{path} cannot be read as {what}: {reason}") from None
    document = Document.read(text, str(path))
    problems = list(document.problems)
    if not problems and not isinstance(document.value, dict):
        problems.append(Problem((), f"{what} is a mapping with the keys {', '.join(model.model_fields)}"))
    found = check(model, document.value) if not problems else Checked[Model](None, problems)
    if found.value is None:
        raise RecipeError(document.report(found.problems))
    return found.value


def check(model: type[Model], value: Any, where: Where = ()) -> Checked[Model]:
    """Validate, and say every problem in our words."""
    try:
        return Checked(model.model_validate(value))
    except ValidationError as error:
        return Checked(None, [_problem(model, dict(one), where) for one in error.errors()])


def _problem(model: type[BaseModel], error: dict[str, Any], where: Where) -> Problem:
    loc: Where = tuple(part for part in error["loc"] if part != "[key]")
    place = (*where, *loc)
    found = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            known = _fields(model, loc[:-1])
            return Problem(place, "unknown key" + near(str(loc[-1]), known))
        case "missing":
            holder = _model_at(model, loc[:-1])
            info = holder.model_fields.get(str(loc[-1])) if holder else None
            why = f" ({info.description})" if info and info.description else ""
            return Problem(place, f"this key is missing{why}")
        case "literal_error":
            wanted = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
            return Problem(place, f"found {found!r}" + near(str(found), wanted))
        case _:
            text = error["msg"].removeprefix("Value error, ")
            text = text.replace("Input should be", "wanted").replace("String should", "the text should")
            return Problem(place, f"found {found!r}, {text[0].lower() + text[1:]}")


def near(name: str, known: list[str]) -> str:
    close = nearest(name, known)
    if close:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _fields(model: type[BaseModel], loc: Where) -> list[str]:
    holder = _model_at(model, loc)
    return list(holder.model_fields) if holder else []


def _model_at(model: type[BaseModel], loc: Where) -> type[BaseModel] | None:
    """The settings class that the keys at ``loc`` belong to, looking through optional, list and dict."""
    here: Any = model
    for part in loc:
        inside = _unwrap(here)
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            info = inside.model_fields.get(str(part))
            here = info.annotation if info else None
        elif get_origin(inside) in (list, tuple, dict):
            here = get_args(inside)[-1] if get_origin(inside) is dict else get_args(inside)[0]
        if here is None:
            return None
    inside = _unwrap(here)
    return inside if isinstance(inside, type) and issubclass(inside, BaseModel) else None


def _unwrap(kind: Any) -> Any:
    """``X | None`` is ``X``."""
    args = [arg for arg in get_args(kind) if arg is not type(None)]
    if len(args) == 1 and get_origin(kind) not in (list, tuple, dict):
        return args[0]
    return kind
