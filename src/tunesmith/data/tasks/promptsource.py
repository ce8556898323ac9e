"""The templates of promptsource: a YAML file for each data set, with Jinja that makes prompt and answer in one go.

    task: imdb
    reader: table
    path: imdb.parquet
    templates: promptsource/imdb/templates.yaml

A template gives what promptsource gives for the same row: prompt and answers are parted by ``|||``, there are the list
``answer_choices``, ``zip`` and the filters ``choice`` and ``most_frequent``, and what a row lacks is empty.
Three things differ. Jinja runs in its sandbox; ``choice`` and ``random`` draw by the row's id, so that a build can be
repeated; and a row of which nothing remains (templates use conditions to skip rows) is set aside with that reason.
"""

from __future__ import annotations

import copy
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateSyntaxError, meta, pass_context
from jinja2.runtime import Context

from tunesmith.core.errors import RecipeError
from tunesmith.core.jinja import Limited, compiling
from tunesmith.core.types import Example, Message, Source
from tunesmith.core.yaml_file import YamlFile
from tunesmith.data.tasks.template import Said, Template, Turn, Unrenderable, rendered

_PIPE = "|||"
_KEPT_PIPE = "\ue000pipe\ue000"
"""Stands for ``|||`` in a row's own text, so that only the template's parts it."""
_DRAW = "__draw__"
_CHANGES = re.compile(r"\.(append|extend|insert|pop|remove|clear|update|sort|reverse|setdefault|popitem|add|discard)\(")
"""A template that calls one of these may change the row, and gets a copy."""


@dataclass(frozen=True, slots=True)
class Borrowed(Template):
    """A template of promptsource. Its one message holds all the Jinja."""

    choices: str = ""
    """Jinja that gives the answers to choose among, parted by ``|||``; empty: there are none."""
    title: str = ""
    metrics: tuple[str, ...] = ()
    original: bool = False
    """Whether it asks for what the data set was made for."""
    choices_shown: bool = False
    reference: str = ""
    whole_row: ClassVar[bool] = True

    @property
    def target(self) -> str:
        """The Jinja source, which makes the answer too."""
        return self.messages[0].text

    def fields(self) -> set[str]:
        """The names of the row that the template speaks of."""
        sources = (self.messages[0].text, self.choices)
        names: set[str] = set()
        for source in sources:
            with compiling(source):
                names |= meta.find_undeclared_variables(_JINJA.parse(source))
        return names - {"answer_choices"} - set(_JINJA.globals)

    def put(self, example: Example, answer: str = "") -> Said:
        """The example in the template's words, which name no field of the answer."""
        parts, options = self.apply(example.raw or example.fields, example.id)
        prompt, targets = parts[0], tuple(part for part in parts[1:] if part)
        if not prompt:
            raise Unrenderable("the template gives an empty prompt")
        if not targets:
            raise Unrenderable("the template gives no answer for this row")
        messages = (Message("user", prompt), Message("assistant", targets[0]))
        return Said(messages, targets, tuple(options) if targets[0] in options else ())

    def apply(self, row: Mapping[str, Any], id: str = "") -> tuple[list[str], list[str]]:
        """The parts that the template gives for a row, and the answers to choose among."""
        source = self.messages[0].text
        values: dict[str, Any] = {k: v.replace(_PIPE, _KEPT_PIPE) if isinstance(v, str) else v for k, v in row.items()}
        if "answer_choices" in values:
            raise Unrenderable("the row has a field 'answer_choices', which is a name of promptsource's")
        if _CHANGES.search(source):
            values = copy.deepcopy(values)
        if "choice" in source or "random" in source or "choice" in self.choices:
            values[_DRAW] = random.Random(f"{id}@{self.id}")
        choices = (
            [part.strip() for part in rendered(_compiled(self.choices), values).split(_PIPE)] if self.choices else None
        )
        values["answer_choices"] = choices
        parts = rendered(_compiled(source), values).split(_PIPE)
        return [_own(part) for part in parts], [_own(part) for part in choices or ()]


def load(path: Path, task: str = "") -> tuple[Borrowed, ...]:
    """The templates of a file; all its problems are reported at once."""
    file = YamlFile.read(path, tags=("!Template", "!TemplateMetadata"))
    value = file.value
    rows = value.get("templates") if isinstance(value, dict) else None
    if not file.problems and not isinstance(rows, dict):
        file.problem((), "a file of promptsource is a mapping with `dataset` and `templates`")
    task = task or "/".join(str(value[key]) for key in ("dataset", "subset") if value.get(key)) if rows else task
    found: dict[str, Borrowed] = {}
    for key, row in rows.items() if isinstance(rows, dict) else ():
        template = _template(file, key, row, task)
        if template is None:
            continue
        if template.id in found:  # two of one name: their keys tell them apart
            template = replace(template, id=f"{template.id}_{key[:8]}")
        found[template.id] = template
    if file.problems:
        raise RecipeError("\n".join(file.report()))
    return tuple(found.values())


def is_one(path: Path) -> bool:
    """Whether a file is promptsource's, by its name."""
    return path.name == "templates.yaml"


def _template(file: YamlFile, key: str, row: Any, task: str) -> Borrowed | None:
    where = ("templates", key)
    if not isinstance(row, dict) or not isinstance(row.get("jinja"), str):
        file.problem(where, "a template of promptsource is a mapping with `name` and `jinja`")
        return None
    metadata = row.get("metadata")
    about: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    choices = row.get("answer_choices") or ""
    if choices in ("null", "~"):
        choices = ""
    if not isinstance(choices, str):
        file.problem((*where, "answer_choices"), "the answers to choose among are a text, parted by |||")
        return None
    for name, source in (("jinja", row["jinja"]), ("answer_choices", choices)):
        try:
            _compiled(source)
        except TemplateSyntaxError as error:
            file.problem((*where, name), f"this is not Jinja: {error.message}")
            return None
    title = str(row.get("name") or key)
    languages = about.get("languages")
    return Borrowed(
        id=f"{task}/{re.sub(r'[^A-Za-z0-9.]+', '_', title).strip('_') or key}",
        messages=(Turn("user", row["jinja"]),),
        kind="options" if about.get("choices_in_prompt") == "true" else "plain",
        language=languages[0] if isinstance(languages, list) and languages else "en",
        source=Source(file.file, file.line(where)),
        choices=choices,
        title=title,
        metrics=tuple(about["metrics"]) if isinstance(about.get("metrics"), list) else (),
        original=about.get("original_task") == "true",
        choices_shown=about.get("choices_in_prompt") == "true",
        reference=str(row.get("reference") or ""),
    )


def _own(part: str) -> str:
    return part.replace(_KEPT_PIPE, _PIPE).strip()


@pass_context
def _choice(context: Context, items: Sequence[Any]) -> Any:
    return context[_DRAW].choice(items)


def _most_frequent(items: Sequence[Any]) -> list[Any] | None:
    counts = Counter(items).most_common()
    return [item for item, count in counts if count == counts[0][1]] if counts else None


class _Environment(Limited):
    def __init__(self) -> None:
        super().__init__(autoescape=False)
        self.globals.update(zip=zip)
        self.filters.update(choice=_choice, random=_choice, most_frequent=_most_frequent)


_JINJA = _Environment()


@lru_cache(maxsize=65536)
def _compiled(source: str) -> JinjaTemplate:
    return _JINJA.from_string(source)
