"""The Jinja environment of ``transformers`` for chat templates, with traced strings kept traced.

A template cannot tell a ``Traced`` from the ``str`` that it stands for: attributes that a ``str`` does not have are
undefined, and every way to make text of values (printing, ``~``, ``+``, ``%``, filters, calls) keeps the spans.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from tunesmith.chat.trace import Safe, Traced, concat, escaped, join, kept, plain, shown, strings, taint, trace_in
from tunesmith.core.jinja import Limited, LimitedGenerator, counted, within
from tunesmith.core.jinja_costs import joining

_OF_STR = frozenset(name for name in dir(str) if not name.startswith("_")) - {"format", "format_map", "encode"}


class _Plain(str):
    """A text of the template in which traced texts are looked for: the question is written down as not replayable."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        if isinstance(item, Traced):
            item.trace.replayable = False
        return str.__contains__(self, cast(str, item))


class _Generator(LimitedGenerator):
    """Python code in which a text is looked for by a function that knows of traced ones."""

    def visit_Operand(self, node: nodes.Operand, frame: Frame) -> None:
        if node.op not in ("in", "notin"):
            super().visit_Operand(node, frame)
            return
        self.write(" in environment.sought(" if node.op == "in" else " not in environment.sought(")
        self.visit(node.expr, frame)
        self.write(")")


class _GenerationTag(jinja2.ext.Extension):
    """``{% generation %}``: accepted, and not needed, because the mask comes from the rendering itself."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class TracingEnvironment(Limited, ImmutableSandboxedEnvironment):
    """The environment that transformers renders chat templates in, with traced strings kept traced, and with limits."""

    code_generator_class = _Generator

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols])
        self.filters = {name: _keeping(name, f) for name, f in self.filters.items()}
        own: dict[str, Any] = {"join": _join_filter, "safe": _safe, "string": _string, "tojson": _tojson, "trim": _trim}
        own |= {"escape": escaped, "e": escaped}
        self.filters |= {name: counted(name, filter) for name, filter in own.items()}
        self.tests = {**self.tests, "in": lambda value, container: value in self.sought(container)}
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = lambda form: datetime.now().strftime(form)

    def shown(self, value: Any) -> str:
        return super().shown(shown(value))

    def escaped(self, value: Any) -> str:
        return super().shown(escaped(value))

    def concat(self, parts: Iterable[str]) -> str:
        return concat(within(parts))

    @staticmethod
    def sought(container: Any) -> Any:
        """What a value is looked for in."""
        return _Plain(container) if type(container) is str else container

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What a plain ``str`` has under this name, and nothing that only a ``Traced`` has."""
        if not isinstance(obj, Traced) or attribute in _OF_STR:
            return super().getattr(obj, attribute)
        found = super().getattr(plain(obj), attribute)
        if attribute == "encode":
            return _encode
        if attribute not in ("format", "format_map"):
            return found

        def formatted(*args: Any, **kwargs: Any) -> Traced:
            obj.trace.replayable = False
            return taint(found(*args, **kwargs), obj.trace, mixed=True)

        return formatted

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, Traced):
            argument.trace.replayable = False
            argument = plain(argument)
        if isinstance(obj, Traced) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def added(self, left: Any, right: Any) -> Any:
        if isinstance(left, Markup) and isinstance(right, Traced):
            left = Safe.of(Traced.make(left, (), right.trace), right.trace)
        return super().added(left, right)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        result = super().call_binop(context, operator, left, right)
        return kept(result, (left, right), mixed=True) if operator == "%" else result

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if type(owner) is str:
            if __obj.__name__ == "join" and len(args) == 1 and not kwargs:
                return join(owner, strings(joining(owner, args[0])))
            if __obj.__name__ == "replace":
                trace = trace_in(args)
                if trace is not None:
                    __obj = getattr(Traced.make(owner, [], trace), __obj.__name__)
        result = super().call(__context, __obj, *args, **kwargs)
        for name in ("_loop_vars", "_block_vars"):  # what the compiler hands along, not the template
            kwargs.pop(name, None)
        if isinstance(__obj, (Macro, type)) or isinstance(result, Traced):
            return result
        return _followed(result, args, kwargs)


def _followed(result: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The result of something that does not know of traced strings: its text is from outside, and a number, a list
    or an answer that it gives for a text may be another for another text."""
    if not isinstance(result, str):
        for value in (*args, *kwargs.values()):
            if isinstance(value, Traced):
                value.trace.replayable = False
        return result
    return kept(result, (args, kwargs), mixed=True)


_FOLLOWED = ("attr", "capitalize", "d", "default", "first", "last", "lower", "max", "min", "random", "replace", "upper")
"""Filters of Jinja that do nothing but call one method of a text, or give one of their arguments."""


def _keeping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, Traced) and name not in _FOLLOWED:
            # Put together from pieces, some of which may have been joined by something that does not know of them.
            result.trace.replayable = False
            return taint(result, result.trace, mixed=True)
        return _followed(result, args, kwargs)

    return call


def _encode(*args: Any) -> bytes:
    raise TypeError("bytes do not know who supplied them, so a chat template cannot make bytes of a message")


def _string(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _trim(value: Any, chars: str | None = None) -> str:
    return _string(value).strip(chars)


def _safe(value: Any) -> str:
    text = shown(value)
    return Safe.of(text, text.trace) if isinstance(text, Traced) else Markup(text)


@jinja2.pass_environment
def _join_filter(env: jinja2.Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Any:
    items = list(value)
    if attribute is not None:
        items = [_attribute(env, item, attribute) for item in items]
    return join(shown(d), joining(shown(d), items))


def _attribute(env: jinja2.Environment, item: Any, path: str | int) -> Any:
    """``a.b.0`` of an item, as Jinja's filters read it."""
    for part in str(path).split(".") if isinstance(path, str) else [path]:
        item = env.getitem(item, int(part) if isinstance(part, str) and part.isdigit() else part)
    return item


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> Any:
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return kept(text, (value,), mixed=False)


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(plain(str(message)))
