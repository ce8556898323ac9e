"""What a setting of a recipe is: its type, default, bounds and description, and where it stands.

    explain("train.lr")            one ``Setting`` for each meaning, as stages of two kinds may have it
    explain("learning_rate")       by another trainer's name
    explain("stages.tune.train.lr"), explain("sft.train.lr")

Everything is taken from the settings classes, so that it cannot differ from what a recipe is checked by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunesmith.core.aliases import FOREIGN, Ours
from tunesmith.core.errors import RecipeError, nearest
from tunesmith.pipeline.recipe import Top
from tunesmith.stages.stage import KINDS, From

PLACES = {"sft": "tune"}
"""What a stage of a kind is called in examples, where its own name is another."""
_ORDER = ("sft", "pretrain", "build", "eval", "tokenizer", "report", "export")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, in words."""

    way: str
    """From the stage on: ``train.lr``; at the top of a recipe: ``seed``."""
    kinds: tuple[str, ...]
    """The kinds of stages that have it; none at the top."""
    type: str
    default: str
    """As a recipe writes it; "" where the key has to be given."""
    bounds: str
    """In words, as "above 0, at most 1"; "" where there are none."""
    description: str
    note: str = ""
    """What another trainer's name asked for, and how this differs."""

    @property
    def place(self) -> str:
        """The lines of a recipe in which it stands."""
        value = self.default or "..."
        if not self.kinds:
            return f"{self.way}: {value}"
        kind = self.kinds[0]
        lines = ["stages:", f"  {PLACES.get(kind, kind)}:", f"    kind: {kind}"]
        *above, last = self.way.split(".")
        lines += [f"{'  ' * (depth + 2)}{key}:" for depth, key in enumerate(above)]
        return "\n".join([*lines, f"{'  ' * (len(above) + 2)}{last}: {value}"])

    @property
    def option(self) -> str:
        """How it is changed on the command line."""
        if not self.kinds:
            return f"--set {self.way}=VALUE"
        return f"--set {PLACES.get(self.kinds[0], self.kinds[0])}.{self.way}=VALUE"


def explain(name: str) -> list[Setting]:
    """Every setting that a name may mean, or a ``RecipeError`` with the nearest one."""
    every = list(settings())
    key = name.strip().removeprefix("stages.").replace("-", "_")
    if found := _meant(key, every):
        return found
    ours = FOREIGN.get(key.rpartition(".")[2].lower())
    if ours is not None:
        return _translated(name, ours, every)
    known = {one.way for one in every}
    last = {way.rpartition(".")[2]: way for way in known}
    if close := nearest(key, known) or last.get(nearest(key.rpartition(".")[2], last) or ""):
        raise RecipeError(f"There is no setting {name!r}. Did you mean {close!r}? See: tunesmith help {close}")
    if close := nearest(key, FOREIGN):
        raise RecipeError(f"There is no setting {name!r}. Did you mean {close!r}? See: tunesmith help {close}")
    raise RecipeError(
        f"There is no setting {name!r}. Stages: {', '.join(KINDS)}; the settings of one: tunesmith help sft"
    )


def of_kind(kind: str) -> list[Setting]:
    """All settings of a kind of stage."""
    return list(_of(KINDS[kind], (kind,)))


def settings() -> Iterator[Setting]:
    """All settings of recipes, those that are alike in several kinds of stages once."""
    yield from (one for one in _of(Top, ()) if one.way != "stages")
    found: dict[tuple[str, ...], Setting] = {}
    for kind in sorted(KINDS, key=lambda kind: _ORDER.index(kind) if kind in _ORDER else len(_ORDER)):
        for one in _of(KINDS[kind], (kind,)):
            alike = (one.way, one.type, one.default, one.bounds, one.description)
            twin = found.get(alike)
            found[alike] = replace(twin, kinds=(*twin.kinds, kind)) if twin else one
    yield from found.values()


def _meant(key: str, every: list[Setting]) -> list[Setting]:
    """The settings of a name: the whole way, one with a stage or its kind before it, or the way's end."""
    head, _, rest = key.partition(".")
    stages = {PLACES.get(kind, kind): kind for kind in KINDS} | {kind: kind for kind in KINDS}
    if head in stages and rest:
        return [replace(one, kinds=(stages[head],)) for one in every if one.way == rest and stages[head] in one.kinds]
    return [one for one in every if one.way == key] or [one for one in every if one.way.endswith(f".{key}")]


def _translated(name: str, ours: Ours, every: list[Setting]) -> list[Setting]:
    if not ours.key:
        raise RecipeError(f"There is no setting {name!r}: {ours.what}.")
    told = f"Other trainers call it {name!r}. Here it is `{ours.key}`: {ours.what}."
    return [replace(one, note=told) for one in _meant(ours.key, every)]


def _of(model: type[BaseModel], kinds: tuple[str, ...], above: str = "") -> Iterator[Setting]:
    """The settings of a class, and of those in it."""
    for name, info in model.model_fields.items():
        way = f"{above}{name}"
        yield Setting(way, kinds, _type(info), _default(info), _bounds(info), info.description or "")
        inside = _class_in(info.annotation)
        if inside is not None:
            yield from _of(inside, kinds, f"{way}.")


def _class_in(annotation: Any) -> type[BaseModel] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


_WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    Any: "anything",
}


def _type(info: FieldInfo) -> str:
    mark = next((mark for mark in info.metadata if isinstance(mark, From)), None)
    if mark is None:
        return _named(info.annotation)
    one = f"the id of an earlier stage that gives {mark.what}"
    one += ", a model folder or hub:owner/model" if mark.folder else ""
    return f"names, each with {one}" if get_origin(info.annotation) is dict else one


def _named(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if hasattr(annotation, "__metadata__"):
        return _named(args[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a mapping with the keys {', '.join(annotation.model_fields)}"
    if origin in (list, tuple):
        return f"a list, each {_named(args[0])}"
    if origin is dict:
        return f"a mapping, each value {_named(args[1])}"
    if args:
        return " or ".join(_named(arg) for arg in args if arg is not type(None))
    return _WORDS.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _default(info: FieldInfo) -> str:
    """The default as YAML has it."""
    if info.is_required():
        return ""
    return _yaml(info.get_default(call_default_factory=True))


def _yaml(value: Any) -> str:
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
        return "{" + ", ".join(f"{name}: {_yaml(item)}" for name, item in inner.items()) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value and abs(value) < 1e-2:
        digits, _, power = f"{value:e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _bounds(info: FieldInfo) -> str:
    """The bounds, wherever in the annotation they stand."""
    told = []
    for mark in info.metadata:
        for kind, word in ((Gt, "above"), (Ge, "at least"), (Lt, "below"), (Le, "at most")):
            if isinstance(mark, kind):
                value = getattr(mark, {Gt: "gt", Ge: "ge", Lt: "lt", Le: "le"}[kind])
                told.append(f"{word} {value:,}" if isinstance(value, int) else f"{word} {value:g}")
    return ", ".join(told)
