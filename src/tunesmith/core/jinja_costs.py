"""What operators, methods and filters of a template cost. They are asked before they run: nothing too large is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from jinja2 import Undefined

from tunesmith.core.jinja_budget import BITS, DIGITS, ELEMENT, Budget, LimitReached, budget_now, depth, size_of


def ask_cost(
    grows: Callable[..., Any], budget: Budget, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    """Ask for the size of what is to be made. Arguments of a wrong kind are left for the operation to refuse."""
    try:
        made: tuple[Any, ...] | None = grows(budget, value, *args, **kwargs)
    except (TypeError, ValueError, AttributeError):
        return None
    return made


# Operators, methods and filters that may make more than they are given: what they would make, before they do.


def number(value: Any) -> int:
    return abs(int(value)) if isinstance(value, (int, float)) and abs(value) < 1e18 else 0 if value is None else 1 << 62


def _times(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > BITS:
            raise LimitReached(f"a number of more than {DIGITS:,} digits")
        return
    for held, count in ((left, right), (right, left)):
        if isinstance(held, (str, bytes, list, tuple)) and isinstance(count, int):
            own = 0 if type(held) is str else ELEMENT  # a traced text has something to remember for each copy
            budget.take(max(count, 0) * (size_of(held, budget.most) + own))


def _power(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * number(right) > BITS:
        raise LimitReached(f"a number of more than {DIGITS:,} digits")


_PERCENT = re.compile(r"%(?:\((.*?)\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?")


def percent_cost(budget: Budget, text: Any, values: Any) -> None:
    if not isinstance(text, (str, bytes)):
        return
    said = str(text, "latin-1") if isinstance(text, bytes) else str(text)
    found = _PERCENT.findall(said)
    size = len(said) + sum(number(int(w[:20])) for _, *pair in found for w in pair if w.isdigit())
    if any("*" in pair for _, *pair in found):
        size += sum(number(v) for v in (values if isinstance(values, tuple) else (values,)) if isinstance(v, int))
    given = 4 * size_of(values, budget.most)  # a text may be written as Python writes it
    budget.take(size + given * (sum(1 for name, *_ in found if name) or 1))


OPERATORS: dict[str, Callable[[Budget, Any, Any], None]] = {
    "*": _times,
    "**": _power,
    "%": percent_cost,
}


def _wide(budget: Budget, text: Any, width: Any = 0, *more: Any, **settings: Any) -> None:
    budget.take(number(settings.get("width", width)))


def _tabs(budget: Budget, text: Any, tabsize: Any = 8) -> None:
    budget.take(text.count("\t" if isinstance(text, str) else b"\t") * number(tabsize))


def _replace(budget: Budget, text: Any, old: Any = "", new: Any = "", count: Any = None) -> None:
    text, old, new = (v if isinstance(v, (str, bytes)) else str(v) for v in (text, old, new))
    if type(text) is bytes or not isinstance(old, str):
        budget.take(len(text) * max(len(new), 1))
    else:
        times = str.count(text, old)
        wanted = number(count) if isinstance(count, int) and count >= 0 else times
        budget.take(str.__len__(text) + min(times, wanted) * str.__len__(new))


def joining(sep: Any, items: Iterable[Any]) -> list[Any]:
    """The items, which together are not too long to be joined."""
    return list(joining_cost(budget_now(), sep, items)[0])


def _gathered(budget: Budget, items: Any) -> list[Any]:
    """``list``, that stops when it gets too long."""
    if isinstance(items, str):
        budget.take(ELEMENT * str.__len__(items))
    source, found = iter(items), list[Any]()
    while some := list(islice(source, 4096)):
        found += some
        if ELEMENT * len(found) > budget.most:
            budget.take(ELEMENT * len(found))
    return found


def _listed(budget: Budget, items: Any, *more: Any, **settings: Any) -> tuple[list[Any]] | None:
    return None if isinstance(items, (list, tuple, dict, Undefined)) else (_gathered(budget, items),)


def each_cost(budget: Budget, items: Any, *more: Any, **settings: Any) -> None:
    if isinstance(items, str):  # of which every character is an element
        budget.take(ELEMENT * str.__len__(items))


def joining_cost(budget: Budget, sep: Any, items: Any = ()) -> tuple[list[Any]]:
    found = _gathered(budget, items)
    sizes = [str.__len__(item) if isinstance(item, str) else size_of(item, budget.most) for item in found]
    budget.take(sum(sizes) + len(found) * (str.__len__(sep) if isinstance(sep, str) else len(sep)))
    return (found,)


def _translated(budget: Budget, text: Any, table: Any = (), *more: Any) -> None:
    values = [v for v in table.values() if isinstance(v, str)] if isinstance(table, Mapping) else []
    budget.take(len(text) * max(map(len, values), default=1))


def _given(budget: Budget, owner: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    args = tuple(_gathered(budget, value) if isinstance(value, Iterator) else value for value in args)
    budget.take(size_of((*args, kwargs), budget.most))
    return args


def _coded(budget: Budget, text: Any, encoding: Any = "utf-8", *more: Any, **settings: Any) -> None:
    """Some codecs look at each character as often as there are characters."""
    if "code" in (name := str(settings.get("encoding", encoding)).lower()) or name == "idna":
        budget.take(len(text) ** 2)


METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "to_bytes"), _wide),
    **dict.fromkeys(("append", "extend", "insert", "update", "setdefault", "add"), _given),
    **dict.fromkeys(("encode", "decode"), _coded),
    "expandtabs": _tabs,
    "replace": _replace,
    "join": joining_cost,
    "translate": _translated,
}


def _indent(budget: Budget, text: Any, width: Any = 4, *more: Any, **settings: Any) -> None:
    width = settings.get("width", width)
    lines = str(text).count("\n") + 1
    budget.take(lines * (len(width) if isinstance(width, str) else number(width)))


def slow_cost(budget: Budget, text: Any, *more: Any, **settings: Any) -> None:
    """Python looks at each character, and the result may have a separator after each."""
    longest = max((len(v) for v in (*more, *settings.values()) if isinstance(v, str)), default=1)
    budget.take(20 * size_of(text, budget.most) * max(longest, 1))


def _round(budget: Budget, value: Any, precision: Any = 0, *more: Any, **settings: Any) -> None:
    if number(settings.get("precision", precision)) > 300:
        raise LimitReached("rounding to more than 300 digits")


def _filled(budget: Budget, value: Any, count: Any = 0, *more: Any, **settings: Any) -> tuple[list[Any]] | None:
    count = settings.get("slices", settings.get("linecount", count))
    budget.take(ELEMENT * number(count))
    return _listed(budget, value)


def _tojson(budget: Budget, value: Any, *more: Any, **settings: Any) -> None:
    size = size_of(value, budget.most)
    budget.take(size)
    texts = [v for v in (*more, *settings.values()) if isinstance(v, (str, tuple, list))]
    wide = sum(size_of(v, budget.most) for v in texts) + sum(
        number(v) for v in (*more, *settings.values()) if type(v) is int
    )
    if wide:
        budget.take(size // ELEMENT * wide * depth([value]))


def _sum(budget: Budget, items: Any, attribute: Any = None, start: Any = 0) -> tuple[Any]:
    found = _gathered(budget, items)
    if isinstance(start, (list, tuple)):
        budget.take(len(found) * size_of(found, budget.most))
    return (found,)


FILTERS: dict[str, Callable[..., Any]] = {
    "center": _wide,
    "indent": _indent,
    "replace": _replace,
    "format": lambda budget, text, *args, **kwargs: percent_cost(budget, text, kwargs or args),
    "round": _round,
    "batch": _filled,
    "slice": _filled,
    "tojson": _tojson,
    "sum": _sum,
    **dict.fromkeys(("list", "sort", "groupby"), _listed),
    **dict.fromkeys(("map", "select", "reject", "selectattr", "rejectattr", "unique"), each_cost),
    **dict.fromkeys(("wordwrap", "urlize", "striptags", "pprint", "xmlattr"), slow_cost),
}
PASSING = frozenset(["attr", "d", "default", "first", "last", "max", "min", "random", "safe"])
"""Filters that make nothing: they give one of their arguments, or a part of it."""
COMPARING = frozenset(
    ["in", "eq", "==", "equalto", "ne", "!=", "lt", "<", "lessthan", "le", "<=", "gt", ">", "ge", ">="]
)
