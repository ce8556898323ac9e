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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes, pass_eval_context
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.filters import do_join
from jinja2.runtime import Macro
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter
from jinja2.utils import generate_lorem_ipsum
from markupsafe import EscapeFormatter, Markup

from tunesmith.core.jinja_budget import (
    BOUND,
    ELEMENT,
    NOW,
    RANGE,
    SIZED,
    SOURCE,
    LimitReached,
    budget_now,
    size_of,
    type_len,
)
from tunesmith.core.jinja_costs import COMPARING, FILTERS, METHODS, OPERATORS, PASSING, ask_cost, joining, number


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
        self.globals["range"] = bounded_range
        self.globals["lipsum"] = _lipsum
        self.limit_filters()
        self.filters["join"] = _join

    def limit_filters(self) -> None:
        """Every filter that there is now, and every test that compares, counts what it does."""
        filters: dict[str, Any] = self.filters
        tests: dict[str, Any] = self.tests
        self.filters = {name: counted(name, f) for name, f in filters.items()}
        self.tests = {name: _counted_test(f) if name in COMPARING else f for name, f in tests.items()}

    def from_string(self, source: Any, *args: Any, **kwargs: Any) -> Template:
        with compiling(source):
            return super().from_string(source, *args, **kwargs)

    # What compiled templates call.

    def step(self) -> None:
        """One turn of a loop, or one macro, more."""
        budget = NOW.budget or budget_now()
        budget.steps = steps = budget.steps + 1
        if not steps & 15:
            budget.look()

    def made(self, value: Any) -> Any:
        """A value that the template has just made."""
        budget = budget_now()
        budget.take(size_of(value, budget.most))
        return value

    def sliced(self, value: Any, part: slice) -> Any:
        """``value[start:stop:step]``."""
        found = value[part]
        if isinstance(found, (str, list, tuple)):
            budget_now().take(type_len(found))
        return found

    def shown(self, value: Any) -> str:
        """The text that is printed of a value."""
        if type(value) is str or (isinstance(value, str) and not isinstance(value, Markup)):
            return value  # counted when it was made
        text = str(value)
        budget = budget_now()
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
        budget = budget_now()
        OPERATORS[operator](budget, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, SIZED):
            budget.take(size_of(result, budget.most))
        return result

    def added(self, left: Any, right: Any) -> Any:
        """``a + b``, which is no more than both together."""
        result = left + right
        if isinstance(result, SIZED):
            budget = budget_now()
            budget.take(str.__len__(result) if isinstance(result, str) else size_of(result, budget.most))
        return result

    def wrap_str_format(self, value: Any) -> Any:
        if type(value) not in BOUND or super().wrap_str_format(value) is None:
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
        budget = budget_now()
        budget.step()
        if len(args) > 1000:
            budget.take(ELEMENT * len(args))
        grows = METHODS.get(getattr(__obj, "__name__", ""))
        if grows is not None and (owner := getattr(__obj, "__self__", None)) is not None:
            # The compiler hands the variables of loops and blocks along, the template does not.
            given = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
            args = ask_cost(grows, budget, owner, args, given) or args
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, SIZED) and not isinstance(__obj, Macro):
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
    budget = budget_now()
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


class _Widths(SandboxedFormatter):
    """A formatter that asks before it fills a field."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        budget = budget_now()
        budget.step()
        budget.take(sum(number(int(digits[:20])) for digits in re.findall(r"\d+", format_spec)))
        text = super().format_field(value, format_spec)
        budget.take(str.__len__(text))
        return text


class _Formatter(_Widths):
    pass


class _Escaping(_Widths, EscapeFormatter):
    pass


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it does, and is asked for the size of what it makes."""
    grows = FILTERS.get(name)
    first = int(hasattr(function, "jinja_pass_arg"))  # where the value stands among the arguments
    passing = name in PASSING

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        budget = budget_now()
        budget.step()
        if grows is not None:
            value, *more = args[first:]
            made = ask_cost(grows, budget, value, tuple(more), kwargs)
            if made is not None:
                args = (*args[:first], *made, *more)
        result = function(*args, **kwargs)
        if not passing and isinstance(result, SIZED):
            budget.take(size_of(result, budget.most))
        return result

    return call


def _counted_test(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        budget_now().step()
        return function(*args, **kwargs)

    return call


@pass_eval_context
def _join(eval_ctx: Any, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    budget_now().step()
    text: str = do_join(eval_ctx, joining(str(d), value), d, attribute)
    return text


def bounded_range(*args: Any) -> range:
    found = range(*args)
    try:
        long = len(found) > RANGE
    except OverflowError:
        long = True
    if long:
        raise LimitReached(f"a range of more than {RANGE:,} numbers")
    return found


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    budget_now().take(20 * number(n) * number(max))
    text: str = generate_lorem_ipsum(n, html, min, max)
    return text
