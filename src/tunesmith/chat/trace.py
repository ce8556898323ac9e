"""Strings that remember who supplied them.

A chat template mixes its own text with text of the user. After rendering, nobody can tell them
apart any more, and that is where masks go wrong and where a user's "<|im_end|>" becomes a control
token. So every string that enters a template is a ``Traced``: a ``str`` that carries the spans that
came from outside, through slicing, joining, stripping, splitting and every other operation. What an
operation does that we do not know is treated as supplied from outside, never as the template's own.
In everything else a ``Traced`` behaves as the plain ``str`` would, errors included; ``environment.py``
hides from templates what it has besides.

A ``Trace`` also writes down each question that the template asked about the content ("does it
contain </think>?") with the answer. If the questions are simple, the rendering of one conversation
can be replayed for another of the same shape that gives the same answers, without running Jinja:
see ``layout.py``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set, ValuesView
from typing import Any, NamedTuple, SupportsIndex, cast

from jinja2.utils import Namespace
from markupsafe import Markup
from markupsafe import escape as markup_escape

Path = tuple[str | int, ...]
Ops = tuple[tuple[str, str | None], ...]
"""Strips applied to a value, in order: ``(("strip", None), ("lstrip", "\\n"))``."""


class Origin(NamedTuple):
    """Where a span came from: the value's path in the messages, and what was stripped from it."""

    path: Path
    ops: Ops = ()
    whole: bool = True
    """The span is the whole value after ``ops``; only such spans can be replayed."""
    mixed: bool = False
    """The span may hold text of the template as well: an operation that we do not follow."""


class Guard(NamedTuple):
    """One question that the template asked about a value, and the answer it got."""

    path: Path
    ops: Ops
    question: str
    argument: Any
    answer: Any


class Span(NamedTuple):
    start: int
    end: int
    origin: Origin


def ordered(spans: Iterable[Span]) -> list[Span]:
    """By where they stand; of two at one place (one is empty) the first stays first."""
    return sorted(spans, key=lambda span: span[:2])


def apply_ops(value: str, ops: Ops) -> str:
    for name, chars in ops:
        value = getattr(value, name)(chars)
    return value


_QUESTIONS: dict[str, Callable[[str, Any], Any]] = {
    "bool": lambda s, _: s != "",
    "in": lambda s, a: a in s,
    "eq": lambda s, a: s == a,
    "startswith": lambda s, a: s.startswith(a),
    "endswith": lambda s, a: s.endswith(a),
}


def ask(guard: Guard, value: str) -> bool:
    """Whether ``value`` gives the answer that was written down."""
    return bool(_QUESTIONS[guard.question](apply_ops(value, guard.ops), guard.argument) == guard.answer)


class Trace:
    """What one rendering did with the content: its questions, and whether it can be replayed."""

    def __init__(self) -> None:
        self.guards: dict[Guard, None] = {}
        self.replayable = True
        self._wrapped: dict[tuple[int, Path], tuple[Any, Any]] = {}

    def once(self, value: Any, path: Path) -> Any:
        """As ``wrap``, and the same for the same lists and dictionaries: one conversation is rendered several times."""
        if isinstance(value, str):
            return self.wrap(value, path)
        key = (id(value), path)
        if key not in self._wrapped:
            self._wrapped[key] = (value, self.wrap(value, path))  # with the value, so that its id stays its own
        return self._wrapped[key][1]

    def wrap(self, value: Any, path: Path) -> Any:
        """Every string in ``value``, dictionary keys too, as a ``Traced`` that knows its path."""
        if isinstance(value, str):
            return Traced.content(str.__str__(value), Origin(path), self)
        if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 (the first is quick)
            self.replayable = False
            return {self.wrap(k, (*path, k, "key")): self.wrap(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            self.replayable = False
            return type(value)([self.wrap(v, (*path, i)) for i, v in enumerate(value)])
        if value is not None and not isinstance(value, bool):
            self.replayable = False  # a number becomes text of the template: not the same text next time
        return value


class Traced(str):
    """A ``str`` that knows which of its characters came from outside the template."""

    __slots__ = ("spans", "trace")
    spans: tuple[Span, ...]
    trace: Trace

    @classmethod
    def make(cls, text: str, spans: Iterable[Span], trace: Trace) -> Traced:
        self = str.__new__(cls, text)
        self.spans = tuple(s for s in spans if s.end > s.start)
        self.trace = trace
        return self

    @classmethod
    def content(cls, text: str, origin: Origin, trace: Trace) -> Traced:
        self = str.__new__(cls, text)
        # A span may be empty here: an empty answer is still a place where an answer goes.
        self.spans = (Span(0, len(text), origin),)
        self.trace = trace
        return self

    def __str__(self) -> Traced:
        return self

    def __reduce__(self) -> Any:
        return (str, (plain(self),))

    # -- what came from where -------------------------------------------------------------------

    def _origin(self) -> Origin | None:
        """The origin, when the string is exactly one whole value."""
        if len(self.spans) == 1:
            span = self.spans[0]
            if span.origin.whole and span.start == 0 and span.end == str.__len__(self):
                return span.origin
        return None

    def _cut(self, start: int, end: int) -> Traced:
        spans = []
        for s in self.spans:
            a, b = max(s.start, start), min(s.end, end)
            if a < b or (s.start == s.end and start <= s.start <= end):
                whole = s.origin.whole and a == s.start and b == s.end
                spans.append(Span(a - start, b - start, s.origin._replace(whole=whole)))
        out = str.__new__(Traced, str.__getitem__(self, slice(start, end)))
        out.spans = tuple(spans)
        out.trace = self.trace
        return out

    def _unknown(self) -> None:
        self.trace.replayable = False

    # -- building -------------------------------------------------------------------------------

    def __add__(self, other: str) -> Traced:
        if hasattr(other, "__html__"):
            return Safe.of(concat((self.escaped(), escaped(other)), self.trace), self.trace)
        return concat((self, other), self.trace) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> Traced:
        return concat((other, self), self.trace) if isinstance(other, str) else NotImplemented

    def __mul__(self, n: SupportsIndex) -> Traced:
        return concat([self] * n.__index__(), self.trace) if hasattr(n, "__index__") else NotImplemented

    __rmul__ = __mul__

    def escaped(self) -> Traced:
        """With ``&lt;`` for ``<`` and so on, as ``markupsafe.escape``."""
        edges = sorted({0, str.__len__(self), *(edge for s in self.spans for edge in (s.start, s.end))})
        out: list[str] = []
        for start, end in itertools.pairwise(edges):
            piece = self._cut(start, end)
            text = str(markup_escape(plain(piece)))
            if text != plain(piece):
                spans = [Span(0, len(text), s.origin._replace(whole=False)) for s in piece.spans]
                piece = Traced.make(text, spans, self.trace)
            out.append(piece)
        if self.spans:
            self._unknown()
        return concat(out, self.trace)

    def __mod__(self, args: Any) -> Traced:
        self._unknown()
        return taint(str.__mod__(self, args), self.trace, mixed=True)

    def __rmod__(self, other: str) -> Traced:
        self._unknown()
        return taint(other % str.__getitem__(self, slice(None)), self.trace, mixed=True)

    def __getitem__(self, key: SupportsIndex | slice) -> Traced:
        self._unknown()
        n = str.__len__(self)
        if isinstance(key, slice):
            start, stop, step = key.indices(n)
            if step == 1:
                return self._cut(start, max(start, stop))
            return taint(str.__getitem__(self, key), self.trace, mixed=True)
        if not hasattr(key, "__index__"):
            raise TypeError("string indices must be integers")
        i = key.__index__()
        i += n if i < 0 else 0
        if not 0 <= i < n:
            raise IndexError("string index out of range")
        return self._cut(i, i + 1)

    def __iter__(self) -> Any:
        self._unknown()
        return (self._cut(i, i + 1) for i in range(str.__len__(self)))

    def _stripped(self, name: str, chars: str | None) -> Traced:
        text: str = getattr(str, name)(self, None if chars is None else plain(chars))
        origin = self._origin()
        if isinstance(chars, Traced) and chars.spans:
            self._unknown()
        if origin is not None:
            op = (name, None if chars is None else plain(chars))
            return Traced.content(text, origin._replace(ops=(*origin.ops, op)), self.trace)
        start = 0
        if name != "rstrip":
            start = str.__len__(self) - len(str.lstrip(self, chars))
        out = self._cut(start, start + len(text))
        # Reaching into the content, or being stopped by it, depends on the content.
        self._unknown()
        return out

    def strip(self, chars: str | None = None, /) -> Traced:
        return self._stripped("strip", chars)

    def lstrip(self, chars: str | None = None, /) -> Traced:
        return self._stripped("lstrip", chars)

    def rstrip(self, chars: str | None = None, /) -> Traced:
        return self._stripped("rstrip", chars)

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._unknown()
        return self._pieces(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._unknown()
        pieces = str.rsplit(self, sep, maxsplit)
        out, at = [], str.__len__(self)
        for piece in reversed(pieces):
            at = str.rfind(self, piece, 0, at) if sep is None else at - len(piece)
            out.append(self._cut(at, at + len(piece)))
            at -= 0 if sep is None else len(sep)
        return [*reversed(out)]

    def _pieces(self, pieces: Sequence[str], sep: str | None) -> list[str]:
        out: list[str] = []
        at = 0
        for piece in pieces:
            at = str.find(self, piece, at) if sep is None else at
            out.append(self._cut(at, at + len(piece)))
            at += len(piece) + (0 if sep is None else len(sep))
        return out

    def splitlines(self, keepends: bool = False) -> list[str]:
        self._unknown()
        out: list[str] = []
        at = 0
        for line in str.splitlines(self, keepends=True):
            kept = line if keepends else line.splitlines()[0]
            out.append(self._cut(at, at + len(kept)))
            at += len(line)
        return out

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        self._unknown()
        a, b, _ = str.partition(self, sep)
        n = str.__len__(self)
        return self._cut(0, len(a)), self._cut(len(a), len(a) + len(b)), self._cut(len(a) + len(b), n)

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        self._unknown()
        a, b, _ = str.rpartition(self, sep)
        n = str.__len__(self)
        return self._cut(0, len(a)), self._cut(len(a), len(a) + len(b)), self._cut(len(a) + len(b), n)

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Traced:
        self._unknown()
        text = str.replace(self, old, new, count)
        if old == "":
            return taint(text, self.trace, mixed=True)
        pieces = self._pieces(str.split(self, old, count), old)
        out: list[str] = [pieces[0]]
        for piece in pieces[1:]:
            out += [new, piece]
        return concat(out, self.trace)

    def removeprefix(self, prefix: str, /) -> Traced:
        str.removeprefix(self, prefix)  # complains of what is no string
        return self._cut(len(prefix), len(self)) if self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> Traced:
        str.removesuffix(self, suffix)
        return self._cut(0, len(self) - len(suffix)) if suffix and self.endswith(suffix) else self

    def join(self, items: Iterable[str], /) -> Traced:
        return join(self, strings(items), self.trace)

    def _recased(self, text: str) -> Traced:
        self._unknown()
        if len(text) == str.__len__(self):
            spans = [s._replace(origin=s.origin._replace(whole=False)) for s in self.spans]
            return Traced.make(text, spans, self.trace)
        return taint(text, self.trace, mixed=True)

    def upper(self) -> Traced:
        return self._recased(str.upper(self))

    def lower(self) -> Traced:
        return self._recased(str.lower(self))

    def title(self) -> Traced:
        return self._recased(str.title(self))

    def capitalize(self) -> Traced:
        return self._recased(str.capitalize(self))

    def casefold(self) -> Traced:
        return self._recased(str.casefold(self))

    def swapcase(self) -> Traced:
        return self._recased(str.swapcase(self))

    # -- questions ------------------------------------------------------------------------------

    def _answer(self, question: str, argument: Any, answer: Any) -> Any:
        origin = self._origin()
        if any(isinstance(a, Traced) and a.spans for a in (argument if isinstance(argument, tuple) else (argument,))):
            self._unknown()
        elif origin is None:
            if self.spans:
                self._unknown()
        else:
            if isinstance(argument, tuple):
                argument = tuple(plain(a) for a in argument)
            elif isinstance(argument, str):
                argument = plain(argument)
            self.trace.guards[Guard(origin.path, origin.ops, question, argument, answer)] = None
        return answer

    def __bool__(self) -> bool:
        return bool(self._answer("bool", None, str.__len__(self) > 0))

    def __contains__(self, item: object) -> bool:
        return bool(self._answer("in", item, str.__contains__(self, cast(str, item))))

    def __eq__(self, other: object) -> bool:
        answer = str.__eq__(self, other)
        if answer is NotImplemented:
            return NotImplemented
        return bool(self._answer("eq", other, answer))

    def __ne__(self, other: object) -> bool:
        answer = self.__eq__(other)
        return answer if answer is NotImplemented else not answer

    def __hash__(self) -> int:
        # Looked up in a dictionary or a set: a question whose answer may be another for another text.
        if self.spans:
            self._unknown()
        return str.__hash__(self)

    def startswith(self, prefix: str | tuple[str, ...], *at: Any) -> bool:
        if at:
            self._unknown()
            return str.startswith(self, prefix, *at)
        return bool(self._answer("startswith", prefix, str.startswith(self, prefix)))

    def endswith(self, suffix: str | tuple[str, ...], *at: Any) -> bool:
        if at:
            self._unknown()
            return str.endswith(self, suffix, *at)
        return bool(self._answer("endswith", suffix, str.endswith(self, suffix)))

    def __len__(self) -> int:
        self._unknown()
        return str.__len__(self)


def _untraceable(name: str) -> Callable[..., Any]:
    """Every other method of ``str``: a question we do not replay, or a text supplied from outside."""
    method = getattr(str, name)

    @functools.wraps(method)
    def call(self: Traced, *args: Any, **kwargs: Any) -> Any:
        self._unknown()
        result = method(self, *args, **kwargs)
        return taint(result, self.trace, mixed=True) if isinstance(result, str) else result

    return call


for _name in dir(str):
    if not _name.startswith("__") and _name not in Traced.__dict__ and _name != "maketrans":
        setattr(Traced, _name, _untraceable(_name))
for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__format__"):
    setattr(Traced, _name, _untraceable(_name))


class Safe(Traced):
    """A traced text with the ``safe`` filter on it: what is added to it is escaped, as ``Markup`` does."""

    __slots__ = ()

    @classmethod
    def of(cls, text: Traced, trace: Trace) -> Safe:
        self = str.__new__(cls, plain(text))
        self.spans = text.spans
        self.trace = trace
        return self

    def __html__(self) -> Safe:
        return self

    def __repr__(self) -> str:
        return f"Markup({super().__repr__()})"

    def __str__(self) -> Traced:
        out = str.__new__(Traced, plain(self))
        out.spans, out.trace = self.spans, self.trace
        return out

    def __add__(self, other: str) -> Traced:
        if not isinstance(other, str):
            return NotImplemented
        return Safe.of(concat((str(self), escaped(other)), self.trace), self.trace)

    def __radd__(self, other: str) -> Traced:
        if not isinstance(other, str):
            return NotImplemented
        return Safe.of(concat((escaped(other), str(self)), self.trace), self.trace)


def plain(text: str) -> str:
    """The characters alone."""
    return str.__getitem__(text, slice(None)) if isinstance(text, Traced) else str(text)


def escaped(value: Any) -> str:
    """``markupsafe.escape`` that keeps the spans; what is safe already stays as it is."""
    if isinstance(value, Traced):
        return value if isinstance(value, Safe) else value.escaped()
    text: str = kept(markup_escape(value), value, mixed=False)
    return text


def taint(text: str, trace: Trace, *, mixed: bool) -> Traced:
    """``text`` as supplied from outside: the safe reading of an operation that is not followed."""
    return Traced.make(plain(text), [Span(0, str.__len__(text), Origin((), whole=False, mixed=mixed))], trace)


def shown(value: Any) -> str:
    """``str`` that keeps the spans: a list or dictionary is written as Python writes it, text of the user and all."""
    if isinstance(value, str):
        return value if type(value) in (str, Traced) else str(value)
    text: str = kept(str(value), value, mixed=False)
    return text


def concat(items: Iterable[Any], trace: Trace | None = None) -> Traced:
    """``"".join`` that keeps the spans.

    Without a trace, and with nothing traced among the items, it is a plain ``str`` that comes out.
    """
    parts = [item if isinstance(item, str) else shown(item) for item in items]
    traces = [p.trace for p in parts if isinstance(p, Traced)]
    if not traces and trace is None:
        return cast(Traced, "".join(parts))
    spans: list[Span] = []
    at = 0
    for part in parts:
        if isinstance(part, Traced):
            spans += [Span(s.start + at, s.end + at, s.origin) for s in part.spans]
        at += str.__len__(part)
    out = str.__new__(Traced, "".join(map(plain, parts)))
    out.spans = tuple(spans)
    out.trace = trace if trace is not None else traces[0]
    return out


def join(sep: str, items: Iterable[Any], trace: Trace | None = None) -> Traced:
    out: list[Any] = []
    for i, item in enumerate(items):
        out += [sep, item] if i else [item]
    return concat(out, trace)


def strings(items: Iterable[Any]) -> list[str]:
    """The items, all of which ``str.join`` wants to be strings."""
    found = list(items)
    for i, item in enumerate(found):
        if not isinstance(item, str):
            raise TypeError(f"sequence item {i}: expected str instance, {type(item).__name__} found")
    return found


_SIMPLE = frozenset({str, int, float, bool, type(None), bytes})


def trace_in(value: Any) -> Trace | None:
    """The trace of the first traced string anywhere inside ``value``."""
    if isinstance(value, Traced):
        return value.trace
    kind = type(value)
    if kind in _SIMPLE:
        return None
    if kind is Namespace:
        value = value._Namespace__attrs
    if kind is not list and kind is not tuple and isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)) or isinstance(value, (Set, KeysView, ValuesView)):  # noqa: SIM101
        for item in value:
            found = trace_in(item)
            if found is not None:
                return found
    return None


def kept(result: Any, inputs: Any, *, mixed: bool) -> Any:
    """A text made of traced inputs by something that does not know of them is from outside."""
    if isinstance(result, str) and not isinstance(result, Traced):
        trace = trace_in(inputs)
        if trace is not None:
            trace.replayable = False
            made = taint(result, trace, mixed=mixed)
            return Safe.of(made, trace) if isinstance(result, Markup) else made
    return result
