"""Settings that a person writes: what all of them have in common, and how a file of them is checked.

    class Tune(Settings):
        steps: int = Field(1000, ge=1, le=MOST_STEPS, description="Optimizer steps.")

    tune = load(Tune, "tune.yaml", "a file of settings")    or one RecipeError with every problem, each with its line

Settings refuse an unknown key, a number that is not finite, true or false where a number is wanted, and an empty text.
Every number has a lowest and a highest value: who writes ``steps: 1e18`` or ``lr: 10`` has made a slip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from tunesmith.core.aliases import FOREIGN, answer
from tunesmith.core.document import MOST_TOLD, Document, Problem, Where
from tunesmith.core.errors import RecipeError, near, nearest

Model = TypeVar("Model", bound=BaseModel)

MOST_STEPS = 100_000_000
MOST_ROWS = 1_000_000_000
MOST_TOKENS = 1 << 30
"""In a batch or a row."""
MOST_SEED = (1 << 32) - 1
MOST_SHOTS = 1000
Shots = Annotated[int, Field(ge=0, le=MOST_SHOTS)]
"""Answered examples before a question."""
MOST_WORDS = 1_000_000_000
MOST_WORKERS = 4096


class Settings(BaseModel):
    """Settings that refuse an unknown key, and do not change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_min_length=1)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes true for 1."""
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        if kinds & {int, float} and not kinds & {bool, Any} and _has_bool(value):
            raise ValueError("wanted a number, and true and false are none")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The plain kinds that an annotation is made of, as far as the next settings class."""
    args = get_args(annotation)
    return {kind for arg in args for kind in _kinds(arg)} if args else {annotation}


def _has_bool(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_bool(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_bool(item) for item in value)
    return isinstance(value, bool)


# -- checking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked(Generic[Model]):
    """A value of the model, or what is wrong."""

    value: Model | None = None
    problems: list[Problem] = field(default_factory=list)


def find_file(name: str, shipped: Path, what: str) -> Path:
    """A file that a person names: a path, or the name of one of those that are shipped."""
    path, built_in = Path(name), shipped / f"{name.removesuffix('.yaml')}.yaml"
    if _is_file(path):
        return path
    if _is_file(built_in):
        return built_in
    names = sorted(file.stem for file in shipped.glob("*.yaml"))
    close = nearest(name, names)
    hint = f" Did you mean {close!r}?" if close else ""
    raise RecipeError(
        f"There is no {what} {shown(name)}.{hint} Give the path of a YAML file, or a built-in name: {', '.join(names)}."
    )


def _is_file(path: Path) -> bool:
    """A name that no file can have is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def load(model: type[Model], path: Path | str, what: str) -> Model:
    """The file of a model, or one ``RecipeError`` that lists every problem. ``what`` it is, in words: "a suite"."""
    document = Document.open(Path(path))
    problems = list(document.problems)
    if not problems and not isinstance(document.value, dict):
        problems.append(Problem((), f"{what} is a mapping with the keys {', '.join(model.model_fields)}"))
    found = check(model, document.value) if not problems else Checked[Model](None, problems)
    if found.value is None:
        raise RecipeError(document.report(found.problems))
    return found.value


def check(
    model: type[Model], value: Any, where: Where = (), elsewhere: Mapping[str, str] | None = None
) -> Checked[Model]:
    """Validate, and say every problem in our words. ``elsewhere`` says where keys stand that another model has."""
    try:
        return Checked(model.model_validate(value))
    except ValidationError as error:
        wrong = error.errors()
        told = [_problem(model, dict(one), where, elsewhere or {}) for one in wrong[:MOST_TOLD]]
        more = [Problem(where, f"and {len(wrong) - MOST_TOLD:,} more of this kind")] if len(wrong) > MOST_TOLD else []
        return Checked(None, [*told, *more])


def _problem(model: type[BaseModel], error: dict[str, Any], where: Where, elsewhere: Mapping[str, str]) -> Problem:
    loc: Where = tuple(part for part in error["loc"] if part != "[key]")
    place = (*where, *loc)
    found = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            return Problem(place, "unknown key" + _meant(model, loc, elsewhere))
        case "missing":
            holder = _model_at(model, loc[:-1])
            info = holder.model_fields.get(str(loc[-1])) if holder else None
            why = f" ({info.description})" if info and info.description else ""
            return Problem(place, f"this key is missing{why}")
        case "literal_error":
            wanted = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
            return Problem(place, f"found {shown(found)}" + near(str(found), wanted))
        case "model_type" | "model_attributes_type" | "dict_type" if known := _fields(model, loc):
            return Problem(place, f"found {shown(found)}, wanted a mapping with some of the keys {', '.join(known)}")
        case "string_too_short" if found == "":
            return Problem(place, "found an empty text; leave the key out where nothing is meant")
        case "string_type" if isinstance(found, int | float):
            return Problem(place, f"found {shown(found)}, wanted a text; put it in quotes")
        case _:
            text = error["msg"].removeprefix("Value error, ")
            text = text.replace("Input should be", "wanted").replace("String should", "the text should")
            return Problem(place, f"found {shown(found)}, {text[0].lower() + text[1:]}")


def shown(value: Any) -> str:
    """A value as it is written, cut where it is long."""
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _meant(model: type[BaseModel], loc: Where, elsewhere: Mapping[str, str]) -> str:
    """What an unknown key was meant to be: the same name a level down or up, what another trainer calls one of ours,
    or a name that is nearly the same."""
    name = str(loc[-1])
    own, down = _fields(model, loc[:-1]), _below(model, loc[:-1])
    if name in down:
        return f"; did you mean '{down[name]}'?"
    for end in range(len(loc) - 2, -1, -1):
        if name in _fields(model, loc[:end]):
            above = ".".join(map(str, loc[end:-1]))
            return f"; {name!r} stands further up, beside {above!r} and not in it"
    if close := nearest(name, own, cutoff=0.9):
        return f"; did you mean {close!r}?"
    if name in elsewhere:
        return f"; {elsewhere[name]}"
    if name.lower() in FOREIGN:
        return answer(name.lower(), top="stages" in own)
    if close := nearest(name, own):
        return f"; did you mean {close!r}?"
    if close := nearest(name, down):
        return f"; did you mean '{down[close]}'?"
    if close := nearest(name, FOREIGN):
        return f" (as {close!r}?){answer(close, top='stages' in own)}"
    return near(name, own)


def _fields(model: type[BaseModel], loc: Where) -> list[str]:
    holder = _model_at(model, loc)
    return list(holder.model_fields) if holder else []


def keys_of(model: type[BaseModel]) -> dict[str, str]:
    """Every key of a settings class and of those in it, with its way there: ``{"lr": "train.lr", ...}``."""
    return _below(model, ()) | {name: name for name in model.model_fields}


def _below(model: type[BaseModel], loc: Where) -> dict[str, str]:
    """The keys of the settings in a settings class, down to the lowest, each with its way there."""
    found: dict[str, str] = {}
    for key in reversed(_fields(model, loc)):
        inner = {name: f"{key}.{name}" for name in _fields(model, (*loc, key))}
        deeper = {name: f"{key}.{way}" for name, way in _below(model, (*loc, key)).items()}
        found |= deeper | inner
    return found


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
