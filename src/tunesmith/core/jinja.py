"""Jinja with limits: a template from elsewhere can neither run for long nor fill the memory.

    class Environment(Limited, ImmutableSandboxedEnvironment): ...
    with limited(values):
        compiled.render(values)         raises ``LimitReached``, in words, when it asks for too much

A rendering has a budget: so many steps (blocks, calls, filters), so much text and so many elements, and some seconds of
its thread. All is counted in the compiled code and in the operators, filters and methods that make one value out of
another. What may make a large one (``*``, ``center``, ``%``, ``replace`` ...) is asked for its size before it is made.
A template that cannot be compiled, for whatever reason, raises ``TemplateSyntaxError``.

No thread and no signal is used, so it works in any thread of any process.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from time import thread_time
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, Undefined, nodes, pass_eval_context
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import do_join
from jinja2.runtime import Macro
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace, generate_lorem_ipsum
from markupsafe import EscapeFormatter, Markup

STEPS = 1_000_000
"""Blocks, calls and filters of one rendering. A conversation of a thousand messages takes some 50,000."""
MOST = 8_000_000
"""The size of one value: its characters, and ``ELEMENT`` for each text or element."""
WORK = 128_000_000
"""The sizes of all values that one rendering makes."""
ELEMENT = 32
PER_INPUT = 16
"""What one value may be larger for each character that the template is given; all values together 8 times that."""
SECONDS = 5.0
"""Time of the thread that one rendering may take. Most that is too long is counted out within a second."""
DIGITS = 4300
"""Digits of a whole number: Python writes no longer ones."""
RANGE = 100_000
SOURCE = 500_000
"""Characters of a template."""
_BITS = int(DIGITS * 3.33)


class LimitReached(TemplateRuntimeError):
    """A template asks for too much; the message says of what."""


class _Budget:
    """What is left of one rendering."""

    steps = 0
    printed = 0
    """Characters of lists and dictionaries that were printed."""
    most = MOST
    work = WORK
    began = -1.0

    def __init__(self, values: Any) -> None:
        self.values = values

    def step(self) -> None:
        self.steps += 1
        if self.steps & 15 == 0:
            self.look()

    def look(self) -> None:
        if self.steps > STEPS:
            raise LimitReached(f"more than {STEPS:,} steps")
        now = thread_time()
        if self.began < 0:
            self.began = now
        if now - self.began > SECONDS:
            raise LimitReached(f"more than {SECONDS:.0f} seconds")

    def take(self, size: int) -> None:
        """A value of this size is made."""
        self.work -= size
        if size > self.most or self.work < 0:
            self._extend()
            if size > self.most:
                raise LimitReached(f"a value of more than {self.most:,} characters")
            if self.work < 0:
                raise LimitReached("too many long values")

    def _extend(self) -> None:
        """Who is given much may make much. What is given is measured when that first matters."""
        if self.values is not None:
            given = size_of(self.values, 1 << 62)
            self.most += PER_INPUT * given
            self.work += 8 * PER_INPUT * given
            self.values = None


class _Now(threading.local):
    budget: _Budget | None = None


_NOW = _Now()


def _budget() -> _Budget:
    budget = _NOW.budget
    if budget is None:  # while compiling, where Jinja takes any error for "not a constant"
        raise LimitReached("to be rendered outside of limited()")
    return budget


class limited:
    """A budget for one rendering, of these values."""

    __slots__ = ("before", "values")

    def __init__(self, values: Any) -> None:
        self.values = values

    def __enter__(self) -> None:
        self.before = _NOW.budget
        _NOW.budget = _Budget(self.values)

    def __exit__(self, *error: object) -> None:
        _NOW.budget = self.before


def size_of(value: Any, most: int) -> int:
    """Characters and elements in a value, however deep; no more is counted once it is over ``most``."""
    if isinstance(value, str):
        return str.__len__(value)
    if not isinstance(value, _HOLDERS):
        return len(value) if isinstance(value, bytes) else ELEMENT
    size, waiting = 0, [value]
    while waiting and size <= most:
        here = waiting.pop()
        if isinstance(here, Namespace):
            here = here._Namespace__attrs
        size += ELEMENT * len(here)
        items: Iterable[Any] = here
        if isinstance(here, dict):
            size += sum(str.__len__(key) for key in here if isinstance(key, str))
            items = here.values()
        for item in items:
            if isinstance(item, str):
                size += str.__len__(item)
            elif isinstance(item, _HOLDERS):
                waiting.append(item)
    return size


_HOLDERS = (list, tuple, dict, set, frozenset, Namespace)
_BOUND = (MethodType, BuiltinMethodType)
_SIZED = (str, bytes, *_HOLDERS)


def _depth(value: Any) -> int:
    """How deep lists and dictionaries lie in each other."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [v for here in level for v in (here.values() if isinstance(here, Mapping) else here)]
        level = [v for v in inner if isinstance(v, (list, tuple, Mapping))]
    return depth


class LimitedGenerator(CodeGenerator):
    """Python code that counts its steps and the values that it makes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._once: list[list[nodes.Node]] = []

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        if not any(nodes is one for one in self._once):
            self.writeline("environment.step()")
        super().blockvisit(nodes, frame)

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        self._once.append(node.body)
        super().visit_Template(node, frame)

    def visit_If(self, node: nodes.If, frame: Frame) -> None:
        # What is done once where it stands needs no count of its own.
        before = len(self._once)
        self._once += [node.body, node.else_, *(one.body for one in node.elif_)]
        super().visit_If(node, frame)
        del self._once[before:]

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for arg in node.nodes:
            self.visit(arg, frame)
            self.write(", ")
        self.write("))")

    @optimizeconst
    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        self.write("environment.added(")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.sliced(")
        self.visit(node.node, frame)
        self.write(", slice(")
        for part in (node.arg.start, node.arg.stop, node.arg.step):
            self.visit(part, frame) if part is not None else self.write("None")
            self.write(", ")
        self.write("))")

    def _made(self, visit: Callable[[Any, Frame], None], node: Any, frame: Frame, fixed: bool) -> None:
        if not fixed:
            self.write("environment.made(")
        visit(node, frame)
        if not fixed:
            self.write(")")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._made(super().visit_List, node, frame, all(isinstance(item, nodes.Const) for item in node.items))

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        fixed = node.ctx != "load" or all(isinstance(item, nodes.Const) for item in node.items)
        self._made(super().visit_Tuple, node, frame, fixed)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._made(super().visit_Dict, node, frame, all(isinstance(item.value, nodes.Const) for item in node.items))

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile:
            self.write("(environment.escaped if context.eval_ctx.autoescape else environment.shown)(")
        else:
            self.write("environment.escaped(" if frame.eval_ctx.autoescape else "environment.shown(")


class Limited(SandboxedEnvironment):
    """A sandbox whose templates are rendered within ``limited``."""

    code_generator_class = LimitedGenerator
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.globals["range"] = _range
        self.globals["lipsum"] = _lipsum
        self.limit_filters()
        self.filters["join"] = _join

    def limit_filters(self) -> None:
        """Every filter that there is now, and every test that compares, counts what it does."""
        filters: dict[str, Any] = self.filters
        tests: dict[str, Any] = self.tests
        self.filters = {name: counted(name, f) for name, f in filters.items()}
        self.tests = {name: _counted_test(f) if name in _COMPARING else f for name, f in tests.items()}

    def from_string(self, source: Any, *args: Any, **kwargs: Any) -> Template:
        with compiling(source):
            return super().from_string(source, *args, **kwargs)

    # What compiled templates call.

    def step(self) -> None:
        """One turn of a loop, or one macro, more."""
        budget = _NOW.budget or _budget()
        budget.steps = steps = budget.steps + 1
        if not steps & 15:
            budget.look()

    def made(self, value: Any) -> Any:
        """A value that the template has just made."""
        budget = _budget()
        budget.take(size_of(value, budget.most))
        return value

    def sliced(self, value: Any, part: slice) -> Any:
        """``value[start:stop:step]``."""
        found = value[part]
        if isinstance(found, (str, list, tuple)):
            _budget().take(type_len(found))
        return found

    def shown(self, value: Any) -> str:
        """The text that is printed of a value."""
        if type(value) is str or (isinstance(value, str) and not isinstance(value, Markup)):
            return value  # counted when it was made
        text = str(value)
        budget = _budget()
        budget.printed += str.__len__(text)
        budget.take(str.__len__(text))
        if budget.printed > budget.most:
            budget.take(budget.printed)
        return text

    def escaped(self, value: Any) -> str:
        """The same where HTML is escaped."""
        return self.shown(Markup.escape(value))

    def joined(self, parts: Iterable[Any]) -> str:
        """``a ~ b ~ c``."""
        return self.concat(map(self.shown, parts))

    def concat(self, parts: Iterable[str]) -> str:
        """All that a template, a macro or a block writes."""
        return "".join(within(parts))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        budget = _budget()
        _OPERATORS[operator](budget, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, _SIZED):
            budget.take(size_of(result, budget.most))
        return result

    def added(self, left: Any, right: Any) -> Any:
        """``a + b``, which is no more than both together."""
        result = left + right
        if isinstance(result, _SIZED):
            budget = _budget()
            budget.take(str.__len__(result) if isinstance(result, str) else size_of(result, budget.most))
        return result

    def wrap_str_format(self, value: Any) -> Any:
        if type(value) not in _BOUND or super().wrap_str_format(value) is None:
            return None
        text = value.__self__
        formatter: Any = _Escaping(self, escape=text.escape) if isinstance(text, Markup) else _Formatter(self)

        def formatted(*args: Any, **kwargs: Any) -> Any:
            if value.__name__ == "format_map":
                if kwargs or len(args) != 1:
                    raise TypeError(f"format_map() takes exactly one argument ({len(args) + len(kwargs)} given)")
                return type(text)(formatter.vformat(text, (), args[0]))
            return type(text)(formatter.vformat(text, args, kwargs))

        return formatted

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = _budget()
        budget.step()
        if len(args) > 1000:
            budget.take(ELEMENT * len(args))
        grows = _METHODS.get(getattr(__obj, "__name__", ""))
        if grows is not None and (owner := getattr(__obj, "__self__", None)) is not None:
            # The compiler hands the variables of loops and blocks along, the template does not.
            given = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
            args = _asked(grows, budget, owner, args, given) or args
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, _SIZED) and not isinstance(__obj, Macro):
            budget.take(size_of(result, budget.most))
        return result


@contextmanager
def compiling(source: Any) -> Iterator[None]:
    """Whatever goes wrong while a template is read is an error of its syntax."""
    if isinstance(source, str) and len(source) > SOURCE:
        raise TemplateSyntaxError(f"it is {len(source):,} characters long, at most {SOURCE:,} are read", 1)
    try:
        yield
    except TemplateSyntaxError:
        raise
    except RecursionError:
        raise TemplateSyntaxError("it is nested too deeply", 1) from None
    except Exception as error:  # Python's own limits, each in its own way: digits of a number, nested loops
        raise TemplateSyntaxError(f"it cannot be compiled ({type(error).__name__}: {error})", 1) from None


def within(parts: Iterable[str]) -> list[str]:
    """The parts of a text, which together are not too long."""
    found = list(parts)
    length = sum(map(str.__len__, found))
    budget = _budget()
    if length > budget.most:
        budget.take(length)
    return found


def why(error: Exception) -> str:
    """What a template asks for that it does not get, or nothing: the error is of another kind."""
    if isinstance(error, LimitReached):
        return str(error)
    if isinstance(error, RecursionError):
        return "macros, blocks or values that are nested too deeply"
    return "more memory than there is" if isinstance(error, MemoryError) else ""


def type_len(value: Any) -> int:
    """The size of a text or list, without what lies in the elements."""
    return str.__len__(value) if isinstance(value, str) else ELEMENT * len(value)


def _asked(
    grows: Callable[..., Any], budget: _Budget, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    """Ask for the size of what is to be made. Arguments of a wrong kind are left for the operation to refuse."""
    try:
        made: tuple[Any, ...] | None = grows(budget, value, *args, **kwargs)
    except (TypeError, ValueError, AttributeError):
        return None
    return made


# Operators, methods and filters that may make more than they are given: what they would make, before they do.


def _number(value: Any) -> int:
    return abs(int(value)) if isinstance(value, (int, float)) and abs(value) < 1e18 else 0 if value is None else 1 << 62


def _times(budget: _Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > _BITS:
            raise LimitReached(f"a number of more than {DIGITS:,} digits")
        return
    for held, count in ((left, right), (right, left)):
        if isinstance(held, (str, bytes, list, tuple)) and isinstance(count, int):
            own = 0 if type(held) is str else ELEMENT  # a traced text has something to remember for each copy
            budget.take(max(count, 0) * (size_of(held, budget.most) + own))


def _power(budget: _Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * _number(right) > _BITS:
        raise LimitReached(f"a number of more than {DIGITS:,} digits")


_PERCENT = re.compile(r"%(?:\((.*?)\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?")


def _percent(budget: _Budget, text: Any, values: Any) -> None:
    if not isinstance(text, (str, bytes)):
        return
    said = str(text, "latin-1") if isinstance(text, bytes) else str(text)
    found = _PERCENT.findall(said)
    size = len(said) + sum(_number(int(w[:20])) for _, *pair in found for w in pair if w.isdigit())
    if any("*" in pair for _, *pair in found):
        size += sum(_number(v) for v in (values if isinstance(values, tuple) else (values,)) if isinstance(v, int))
    given = 4 * size_of(values, budget.most)  # a text may be written as Python writes it
    budget.take(size + given * (sum(1 for name, *_ in found if name) or 1))


_OPERATORS: dict[str, Callable[[_Budget, Any, Any], None]] = {
    "*": _times,
    "**": _power,
    "%": _percent,
}


def _wide(budget: _Budget, text: Any, width: Any = 0, *more: Any, **settings: Any) -> None:
    budget.take(_number(settings.get("width", width)))


def _tabs(budget: _Budget, text: Any, tabsize: Any = 8) -> None:
    budget.take(text.count("\t" if isinstance(text, str) else b"\t") * _number(tabsize))


def _replace(budget: _Budget, text: Any, old: Any = "", new: Any = "", count: Any = None) -> None:
    text, old, new = (v if isinstance(v, (str, bytes)) else str(v) for v in (text, old, new))
    if type(text) is bytes or not isinstance(old, str):
        budget.take(len(text) * max(len(new), 1))
    else:
        times = str.count(text, old)
        wanted = _number(count) if isinstance(count, int) and count >= 0 else times
        budget.take(str.__len__(text) + min(times, wanted) * str.__len__(new))


def joining(sep: Any, items: Iterable[Any]) -> list[Any]:
    """The items, which together are not too long to be joined."""
    return list(_joining(_budget(), sep, items)[0])


def _gathered(budget: _Budget, items: Any) -> list[Any]:
    """``list``, that stops when it gets too long."""
    if isinstance(items, str):
        budget.take(ELEMENT * str.__len__(items))
    source, found = iter(items), list[Any]()
    while some := list(islice(source, 4096)):
        found += some
        if ELEMENT * len(found) > budget.most:
            budget.take(ELEMENT * len(found))
    return found


def _listed(budget: _Budget, items: Any, *more: Any, **settings: Any) -> tuple[list[Any]] | None:
    return None if isinstance(items, (list, tuple, dict, Undefined)) else (_gathered(budget, items),)


def _each(budget: _Budget, items: Any, *more: Any, **settings: Any) -> None:
    if isinstance(items, str):  # of which every character is an element
        budget.take(ELEMENT * str.__len__(items))


def _joining(budget: _Budget, sep: Any, items: Any = ()) -> tuple[list[Any]]:
    found = _gathered(budget, items)
    sizes = [str.__len__(item) if isinstance(item, str) else size_of(item, budget.most) for item in found]
    budget.take(sum(sizes) + len(found) * (str.__len__(sep) if isinstance(sep, str) else len(sep)))
    return (found,)


def _translated(budget: _Budget, text: Any, table: Any = (), *more: Any) -> None:
    values = [v for v in table.values() if isinstance(v, str)] if isinstance(table, Mapping) else []
    budget.take(len(text) * max(map(len, values), default=1))


def _given(budget: _Budget, owner: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    args = tuple(_gathered(budget, value) if isinstance(value, Iterator) else value for value in args)
    budget.take(size_of((*args, kwargs), budget.most))
    return args


def _coded(budget: _Budget, text: Any, encoding: Any = "utf-8", *more: Any, **settings: Any) -> None:
    """Some codecs look at each character as often as there are characters."""
    if "code" in (name := str(settings.get("encoding", encoding)).lower()) or name == "idna":
        budget.take(len(text) ** 2)


_METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "to_bytes"), _wide),
    **dict.fromkeys(("append", "extend", "insert", "update", "setdefault", "add"), _given),
    **dict.fromkeys(("encode", "decode"), _coded),
    "expandtabs": _tabs,
    "replace": _replace,
    "join": _joining,
    "translate": _translated,
}


class _Widths(SandboxedFormatter):
    """A formatter that asks before it fills a field."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        budget = _budget()
        budget.step()
        budget.take(sum(_number(int(digits[:20])) for digits in re.findall(r"\d+", format_spec)))
        text = super().format_field(value, format_spec)
        budget.take(str.__len__(text))
        return text


class _Formatter(_Widths):
    pass


class _Escaping(_Widths, EscapeFormatter):
    pass


def _indent(budget: _Budget, text: Any, width: Any = 4, *more: Any, **settings: Any) -> None:
    width = settings.get("width", width)
    lines = str(text).count("\n") + 1
    budget.take(lines * (len(width) if isinstance(width, str) else _number(width)))


def _slow(budget: _Budget, text: Any, *more: Any, **settings: Any) -> None:
    """Python looks at each character, and the result may have a separator after each."""
    longest = max((len(v) for v in (*more, *settings.values()) if isinstance(v, str)), default=1)
    budget.take(20 * size_of(text, budget.most) * max(longest, 1))


def _round(budget: _Budget, value: Any, precision: Any = 0, *more: Any, **settings: Any) -> None:
    if _number(settings.get("precision", precision)) > 300:
        raise LimitReached("rounding to more than 300 digits")


def _filled(budget: _Budget, value: Any, count: Any = 0, *more: Any, **settings: Any) -> tuple[list[Any]] | None:
    count = settings.get("slices", settings.get("linecount", count))
    budget.take(ELEMENT * _number(count))
    return _listed(budget, value)


def _tojson(budget: _Budget, value: Any, *more: Any, **settings: Any) -> None:
    size = size_of(value, budget.most)
    budget.take(size)
    texts = [v for v in (*more, *settings.values()) if isinstance(v, (str, tuple, list))]
    wide = sum(size_of(v, budget.most) for v in texts) + sum(
        _number(v) for v in (*more, *settings.values()) if type(v) is int
    )
    if wide:
        budget.take(size // ELEMENT * wide * _depth([value]))


def _sum(budget: _Budget, items: Any, attribute: Any = None, start: Any = 0) -> tuple[Any]:
    found = _gathered(budget, items)
    if isinstance(start, (list, tuple)):
        budget.take(len(found) * size_of(found, budget.most))
    return (found,)


_FILTERS: dict[str, Callable[..., Any]] = {
    "center": _wide,
    "indent": _indent,
    "replace": _replace,
    "format": lambda budget, text, *args, **kwargs: _percent(budget, text, kwargs or args),
    "round": _round,
    "batch": _filled,
    "slice": _filled,
    "tojson": _tojson,
    "sum": _sum,
    **dict.fromkeys(("list", "sort", "groupby"), _listed),
    **dict.fromkeys(("map", "select", "reject", "selectattr", "rejectattr", "unique"), _each),
    **dict.fromkeys(("wordwrap", "urlize", "striptags", "pprint", "xmlattr"), _slow),
}
_PASSING = frozenset(["attr", "d", "default", "first", "last", "max", "min", "random", "safe"])
"""Filters that make nothing: they give one of their arguments, or a part of it."""
_COMPARING = frozenset(
    ["in", "eq", "==", "equalto", "ne", "!=", "lt", "<", "lessthan", "le", "<=", "gt", ">", "ge", ">="]
)


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it does, and is asked for the size of what it makes."""
    grows = _FILTERS.get(name)
    first = int(hasattr(function, "jinja_pass_arg"))  # where the value stands among the arguments
    passing = name in _PASSING

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        budget = _budget()
        budget.step()
        if grows is not None:
            value, *more = args[first:]
            made = _asked(grows, budget, value, tuple(more), kwargs)
            if made is not None:
                args = (*args[:first], *made, *more)
        result = function(*args, **kwargs)
        if not passing and isinstance(result, _SIZED):
            budget.take(size_of(result, budget.most))
        return result

    return call


def _counted_test(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _budget().step()
        return function(*args, **kwargs)

    return call


@pass_eval_context
def _join(eval_ctx: Any, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    _budget().step()
    text: str = do_join(eval_ctx, joining(str(d), value), d, attribute)
    return text


def _range(*args: Any) -> range:
    found = range(*args)
    try:
        long = len(found) > RANGE
    except OverflowError:
        long = True
    if long:
        raise LimitReached(f"a range of more than {RANGE:,} numbers")
    return found


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    _budget().take(20 * _number(n) * _number(max))
    text: str = generate_lorem_ipsum(n, html, min, max)
    return text
