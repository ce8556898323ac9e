"""A template renders an example: Jinja for every message, the last of which is the answer.

    Template "capital.en/what_is":   user       What is the capital of {{ x }}?
                                     assistant  {{ y }}

In go an ``Example`` and a ``Template`` of its task; out comes a ``Conversation``. Its answers are the
rendered target, so an inverted template, or one that asks for a whole sentence, is right by itself.
Whitespace at both ends of a message goes. A message that is empty, or that speaks of a field which the
row does not have, makes the row ``Unrenderable``, with the reason in words.

Jinja runs in its sandbox, with limits: a template from elsewhere cannot reach Python, the disk or the network, and one
that asks for too much is ``Unbounded``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunesmith.core.errors import DataError
from tunesmith.core.jinja import Limited, compiling, why
from tunesmith.core.jinja_budget import limited
from tunesmith.core.types import NOWHERE, Example, Message, Source

KINDS = ("plain", "options", "inverted", "dialogue")


class Unrenderable(DataError):
    """A template does not fit a row; the message says why."""


class Unbounded(Unrenderable):
    """A template asks for more time or memory than any row needs: it is of no use for any."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a template, with its content in Jinja."""

    role: str
    text: str


class Said(NamedTuple):
    """An example in words."""

    messages: tuple[Message, ...]
    """The last is the answer that is taught."""
    answers: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a task."""

    id: str
    """``<task id>/<name>``."""
    messages: tuple[Turn, ...]
    """The last is the assistant's, and its content the target."""
    kind: str = "plain"
    language: str = "en"
    source: Source = NOWHERE
    whole_row: ClassVar[bool] = False
    """Whether it sees the row as the file holds it, and not the fields of the example."""

    @property
    def name(self) -> str:
        """The id without the task's."""
        return self.id.rpartition("/")[2]

    @property
    def target(self) -> str:
        """The Jinja source of the answer."""
        return self.messages[-1].text

    def fields(self) -> set[str]:
        """The names of the row that the template speaks of; raises ``TemplateSyntaxError``."""
        return {name for turn in self.messages for name in fields_of(turn.text)} - {"options"}

    def put(self, example: Example, answer: str) -> Said:
        """The example in the template's words. ``answer`` is the task's field that holds the answer."""
        if self.kind == "options" and len(example.options) < 2:
            raise Unrenderable("the task has fewer than two answers to choose among")
        values = {**example.fields, "options": example.options}
        texts = [_text(turn.text, values, turn.role) for turn in self.messages]
        target = texts[-1]
        messages = tuple(Message(turn.role, text) for turn, text in zip(self.messages, texts, strict=True))
        if example.answers and target == example.answers[0]:
            return Said(messages, example.answers, example.options)
        return Said(messages, (target,), _options(example, self, answer, values, target))


def fields_of(source: str) -> set[str]:
    """The names that a Jinja source speaks of; raises ``TemplateSyntaxError``."""
    with compiling(source):
        return meta.find_undeclared_variables(_JINJA.parse(source)) - set(_JINJA.globals)


def check_syntax(source: str) -> tuple[int, str] | None:
    """The line within the source and the problem, if it is not Jinja."""
    try:
        compiled(source)
    except TemplateSyntaxError as error:
        return error.lineno, error.message or "it cannot be read"
    return None


class _Environment(Limited, ImmutableSandboxedEnvironment):
    pass


_JINJA = _Environment(undefined=StrictUndefined, autoescape=False)


@lru_cache(maxsize=65536)
def compiled(source: str) -> JinjaTemplate:
    """A Jinja source, compiled once."""
    return _JINJA.from_string(source)


def rendered(template: JinjaTemplate, values: Mapping[str, object]) -> str:
    """The text that a template gives; every way to fail is ``Unrenderable``, with the reason."""
    try:
        with limited(values):
            return template.environment.concat(template.root_render_func(template.new_context(dict(values))))
    except UndefinedError as error:
        raise Unrenderable(f"the row lacks a field of the template: {error.message}") from None
    except SecurityError as error:
        raise Unrenderable(f"the template does what the sandbox forbids: {error}") from None
    except Exception as error:  # any filter or operator may fail on a user's data, each in its own way
        if too_much := why(error):
            raise Unbounded(f"the template asks for {too_much}") from None
        raise Unrenderable(f"the template fails: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=65536)
def _field(source: str) -> str:
    """The one field that a template is, as most targets are, for which Jinja need not be asked; or nothing."""
    found = _ONE_FIELD.fullmatch(source.strip())
    return found[1] if found else ""


_ONE_FIELD = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


def _text(source: str, values: Mapping[str, object], role: str) -> str:
    value = values.get(_field(source))
    text = value.strip() if type(value) is str else rendered(compiled(source), values).strip()
    if not text:
        raise Unrenderable(f"the template gives an empty {role} message")
    return text


def _options(
    example: Example, template: Template, answer: str, values: Mapping[str, object], target: str
) -> tuple[str, ...]:
    """The options in the words of the target ("It is Paris."), or none where the target is about something else."""
    if not example.options:
        return ()
    try:
        worded = tuple(
            target if option in example.answers else _text(template.target, {**values, answer: option}, "assistant")
            for option in example.options
        )
    except Unbounded:
        raise
    except Unrenderable:
        return ()
    return worded if len(set(worded)) == len(worded) else ()
