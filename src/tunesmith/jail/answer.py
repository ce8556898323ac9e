"""Finds the program in a model's answer, whatever form the answer has.

    program_in("Here it is:\\n```python\\ndef half(x):\\n    return x / 2\\n```", begin, ["half"])

``begin`` is what the question has shown of the program, and ``entry`` the names that are wanted of it. An answer may
hold the whole program, some functions, or only what comes after ``begin``; in fences or not, with prose around, after
thoughts, cut at its end. What comes back are sources to be run one after the other: what ``begin`` defines beside
``entry`` (helpers, imports), other definitions of the answer, and the part that defines ``entry``.

This runs within the walls: an answer may be made to crash a compiler.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_THOUGHTS = re.compile(
    r"\A(?:.*</(?:think|thinking|thoughts?|reasoning|reflection)>|\s*<(?:think|thinking|thoughts?|reasoning)>.*)",
    re.DOTALL | re.IGNORECASE,
)
"""What is thought before the answer; thoughts that never end leave no answer."""
_OPEN = re.compile(r"(?P<before>(?:[ \t>]|[-*+][ \t]+|\d+[.)][ \t]+)*)(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)\Z")
_TAGS = (
    re.compile(
        r"\[(?:PYTHON|BEGIN|CODE|ANSWER)\][ \t]*\n?(.*?)(?:\[/(?:PYTHON|CODE|ANSWER)\]|\[DONE\]|\[END\]|\Z)", re.S
    ),
    re.compile(r"<(?:code|pre|answer)>[ \t]*\n?(.*?)(?:</(?:code|pre|answer)>|\Z)", re.S),
)
_PYTHON = frozenset(
    ["", "python", "python3", "python2", "py", "py3", "ipython", "ipython3", "cpython", "pycon", "code"]
)
_CODE_LINE = re.compile(
    r"[ \t]*(?:(?:async[ \t]+def|def|class|import|from|if|for|while|with|try)\b|@\w|#|\w+[ \t]*(?::[^=\n]+)?=[^=])"
)
_TRIES = 60
"""Compilations of one part of an answer: each takes the line away that did not compile, and what follows it."""


class Part(NamedTuple):
    """A stretch of an answer that may be code."""

    text: str
    fenced: bool
    python: bool
    """Whether its fence says so, or says nothing."""


def program_in(text: str, begin: str, entry: Sequence[str]) -> list[str]:
    """The sources of the program."""
    text = _THOUGHTS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"), count=1)
    given = context(begin, entry)
    parts = list(_parts(text))
    for chosen in (
        [p for p in parts if p.fenced and p.python],
        [p for p in parts if p.fenced],
        [Part(text, False, True)],
    ):
        pieces = [piece for part in chosen for piece in _pieces(part)]
        whole = [i for i, piece in enumerate(pieces) if defines(piece, entry)]
        if whole:  # of several the last: what comes later corrects what came before
            others = [_definitions(piece, entry) for i, piece in enumerate(pieces) if i != whole[-1]]
            return [given, *filter(None, others), pieces[whole[-1]]]
    for part in [*sorted(parts, key=lambda part: not part.fenced), Part(text, False, True)]:
        source = _continued(begin, part, entry)
        if source:
            return [given, source]
    return [given, text]


def context(begin: str, entry: Sequence[str]) -> str:
    """What the question has shown beside the unfinished function: imports, helpers, classes."""
    for ending in ("", "\n    pass\n", "\n        pass\n"):
        tree = _parsed(begin + ending)
        if tree is not None:
            kept = [node for node in tree.body if not _names(node) & set(entry)]
            return ast.unparse(ast.Module(kept, []))
    return "\n".join(line for line in begin.splitlines() if line.startswith(("import ", "from ")))


def defines(source: str, entry: Sequence[str]) -> bool:
    """Whether a source that compiles defines one of the names; where none are wanted, whether it defines anything."""
    tree = _parsed(source)
    if tree is None:
        return False
    names = {name for node in tree.body for name in _names(node)}
    return bool(names & set(entry)) if entry else bool(tree.body)


def _parsed(source: str) -> ast.Module | None:
    """The tree of a source that compiles."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(source, "program.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    return tree


def _names(node: ast.AST) -> set[str]:
    """What a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return set()


# -- where code may stand ----------------------------------------------------------------------------------------------


def _parts(text: str) -> Iterator[Part]:
    """The stretches of a text within fences, and those between; where there are no fences, within tags."""
    lines: list[str] = []
    mark = width = info = None
    fences = False
    for line in text.split("\n"):
        found = _OPEN.match(line.rstrip())
        if mark is None and found:
            yield Part("\n".join(lines), False, True)
            mark, info, fences, lines = found["mark"], found["info"], True, []
            width = len(found["before"])
        elif mark is not None and found and not found["info"].strip() and found["mark"].startswith(mark):
            yield _fenced(lines, info or "")
            mark, lines = None, []
        else:
            lines.append(line if not width or mark is None else _without(line, width))
    yield Part("\n".join(lines), False, True) if mark is None else _fenced(lines, info or "")
    if not fences:
        for tag in _TAGS:
            for found_text in tag.findall(text):
                yield Part(found_text, True, True)


def _fenced(lines: list[str], info: str) -> Part:
    language = (re.findall(r"[\w+#-]+", info) or [""])[0].lower()
    return Part("\n".join(lines), True, language in _PYTHON)


def _without(line: str, width: int) -> str:
    """A line of an indented fence, without the indentation of the fence."""
    cut = len(line) - len(line.lstrip(" \t>"))
    return line[min(width, cut) :]


# -- code that compiles ------------------------------------------------------------------------------------------------


def _pieces(part: Part) -> Iterator[str]:
    """The stretches of a part that compile, each as long as it can be."""
    lines = part.text.split("\n")
    start, tries = 0, 0
    while start < len(lines) and tries < _TRIES:
        if not lines[start].strip() or not ((part.fenced and start == 0) or _CODE_LINE.match(lines[start])):
            start += 1
            continue
        tries += 1
        found = _longest(lines[start:])
        if found is None:
            start += 1
            continue
        source, used = found
        yield source if part.fenced else _code_alone(source)
        start += used


def _longest(lines: list[str], least: int = 1) -> tuple[str, int] | None:
    """The longest beginning that compiles, not indented any more, and how many lines it has."""
    used = len(lines)
    for _ in range(_TRIES):
        if used < least:
            return None
        source = textwrap.dedent("\n".join(lines[:used])) + "\n"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(source, "program.py", "exec", dont_inherit=True)
        except SyntaxError as error:
            used = min(used - 1, (error.lineno or used) - 1)
        except (ValueError, OverflowError, RecursionError, MemoryError):
            return None
        else:
            return (source, used) if source.strip() else None
    return None


def _code_alone(source: str) -> str:
    """A source without lone words at its top, which are prose: "Done", "Note: this"."""
    tree = ast.parse(source)
    kept = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call | ast.Constant | ast.Await))
        and not (isinstance(node, ast.AnnAssign) and node.value is None)
    ]
    return source if len(kept) == len(tree.body) else ast.unparse(ast.Module(kept, []))


def _definitions(source: str, entry: Sequence[str]) -> str:
    """What a source defines beside ``entry``, without running anything: imports, functions, classes, constants."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    kept = [
        node
        for node in ast.parse(source).body
        if (isinstance(node, kinds) or (isinstance(node, ast.Assign) and _constant(node.value)))
        and not _names(node) & set(entry)
    ]
    return ast.unparse(ast.Module(list(kept), []))


def _constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _continued(begin: str, part: Part, entry: Sequence[str]) -> str:
    """``begin`` with what goes on with it, where that makes a whole of it."""
    if not begin.strip() or not part.text.strip():
        return ""
    shown = begin.rstrip("\n").split("\n")
    indent = next((line[: len(line) - len(line.lstrip())] for line in reversed(shown) if line.strip()), "") or "    "
    body = part.text.strip("\n")
    best, most = "", _size(begin, entry)
    for more in (
        body,
        indent + body.lstrip(),
        textwrap.indent(textwrap.dedent(body), indent),
        "\n".join(indent + line if line.strip() else line for line in body.split("\n")),
    ):
        found = _longest([*shown, *more.split("\n")], least=len(shown) + 1)
        if found and _size(found[0], entry) > most:
            best, most = found[0], _size(found[0], entry)
    return best if part.fenced or not best else _code_alone(best)


def _size(source: str, entry: Sequence[str]) -> int:
    """How much stands in the function that is asked for."""
    tree = _parsed(source) or _parsed(source + "\n    pass")
    sizes = [
        sum(1 for _ in ast.walk(node))
        for node in (tree.body if tree else [])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (not entry or node.name in entry)
    ]
    return sizes[-1] if sizes else 0
