"""What a constraint is: something that can be asked of an answer's form, and seen without understanding it.

    @CHECKS.add("length_constraints:number_words")
    def number_words(text: str, *, zh: bool, num_words: int, relation: str) -> bool: ...

Names and arguments are those of IFEval (Zhou et al. 2023, arXiv:2311.07911), so that its rows can be asked, and those
that others have made in its form. Decisions on English rows are those of IFEval's own program. ``zh`` says that the
row is Chinese: a character is a word, a comma may be wide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.core.errors import EvalError
from tunesmith.core.registry import Registry

Check = Callable[..., bool]
CHECKS: Registry[Check] = Registry("Constraint", room="evals")

_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "less than": int.__lt__,
    "at least": int.__ge__,
    "exactly": int.__eq__,
    "at most": int.__le__,
    "more than": int.__gt__,
}
"""The first two are IFEval's."""

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
_PLAIN_WORD = re.compile(r"\w+")
_END = re.compile(
    r"""[.!?…]+["'”’)\]*_]*(?=\s+["'“‘(\[*_]*[^\sa-z])"""  # a mark, then white space and no small letter
    r"""|[。！？]+["'”’」』）]*"""
    r"""|(?=\n\s*\n)"""
)
_SHORT_FORM = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|Inc|Ltd|Co|Corp|No|Fig|Gen|Rep|Sen|Capt|Col|Lt|Mt|e\.g|i\.e|approx)|\b[A-Z]|^\d+)\.$"
)


def holds(count: int, relation: str, wanted: int) -> bool:
    """Whether a count is as many as asked."""
    if relation not in _RELATIONS:
        raise EvalError(f"A constraint says {relation!r}; known are {', '.join(map(repr, _RELATIONS))}.")
    return _RELATIONS[relation](count, int(wanted))


def words(text: str, *, zh: bool) -> int:
    """How many words a text has; a Chinese character is one."""
    return len((_WORD if zh else _PLAIN_WORD).findall(text))


def found(pattern: str, text: str) -> list[str]:
    """All places where a keyword stands. IFEval takes keywords for regular expressions; one that is none is itself."""
    try:
        return [match[0] for match in re.finditer(pattern, text, re.IGNORECASE)]
    except re.error:
        return [match[0] for match in re.finditer(re.escape(pattern), text, re.IGNORECASE)]


def sentences(text: str) -> list[str]:
    """The sentences that a reader sees. Titles, initials and abbreviations end none; an empty line does."""
    parts: list[str] = []
    begin = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        part, begin = text[begin:end].strip(), end
        if not part:
            continue
        if parts and _SHORT_FORM.search(parts[-1]):
            parts[-1] += " " + part
        else:
            parts.append(part)
    return parts


def follows(text: str, check: Mapping[str, Any], *, zh: bool = False) -> bool:
    """Whether a text keeps one constraint: ``{"id": ..., <arguments>}``. Arguments that are None are left out."""
    values = {name: value for name, value in check.items() if value is not None}
    name = values.pop("id", None)
    if not isinstance(name, str):
        raise EvalError(f"A constraint without an id: {dict(check)}.")
    try:
        return bool(text.strip()) and bool(CHECKS[name](text, zh=zh, **values))
    except TypeError as error:
        raise EvalError(f"Constraint {name} was given {values}: {error}.") from None


def loosened(text: str) -> list[str]:
    """A text and its seven looser readings: without first line, last line, or both, each with and without asterisks."""
    lines = text.split("\n")
    readings = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*readings, *(reading.replace("*", "") for reading in readings)]
