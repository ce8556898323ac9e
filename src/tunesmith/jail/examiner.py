"""Runs the tests of a program that it never runs: the functions that they call are stand-ins that ask the prisoner.

Comparisons happen here, between plain data (``plain.py``). What the question has shown of the program, helpers and
imports, is run here too, so that tests use these and not what the program has made of them. The verdict goes to a
descriptor that the prisoner does not hold.
"""

from __future__ import annotations

import ast
import builtins
import collections
import json
import os
import types
from collections.abc import Callable, Iterator
from typing import Any

from tunesmith.jail import answer
from tunesmith.jail.plain import Gone, Line, pack, unpack


class Ended(BaseException):
    """The program is no longer there."""


class StandIn:
    """A thing of the program's that is no plain data: a function, a class, an object. What is done with it is done
    there and comes back as plain data, or as another stand-in. It is equal to itself alone, whatever it says."""

    def __init__(self, desk: Desk, number: int) -> None:
        vars(self).update(_desk=desk, _number=number)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._desk.do("call", self._number, *given, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__name__":
            raise AttributeError(name)
        return self._desk.do("getattr", self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._desk.do("setattr", self._number, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._desk.do("getitem", self._number, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._desk.do("setitem", self._number, key, value)

    def __len__(self) -> int:
        return int(self._desk.do("len", self._number))

    def __bool__(self) -> bool:
        return bool(self._desk.do("bool", self._number))

    def __int__(self) -> int:
        return int(self._desk.do("int", self._number))

    def __index__(self) -> int:
        return int(self._desk.do("index", self._number))

    def __float__(self) -> float:
        return float(self._desk.do("float", self._number))

    def __round__(self, digits: int | None = None) -> Any:
        return self._desk.do("round", self._number, digits)

    def __str__(self) -> str:
        return str(self._desk.do("str", self._number))

    def __repr__(self) -> str:
        return str(self._desk.do("repr", self._number))

    def __iter__(self) -> Iterator[Any]:
        pulled = self._desk.do("iter", self._number)
        while isinstance(pulled, StandIn):
            try:
                value = self._desk.do("next", pulled._number)
            except StopIteration:
                return
            yield value

    def __next__(self) -> Any:
        return self._desk.do("next", self._number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StandIn) and vars(self)["_number"] == vars(other)["_number"]

    def __hash__(self) -> int:
        return hash(vars(self)["_number"])


class Desk:
    """Where the tests' calls become requests."""

    def __init__(self, names: dict[str, Any], reads: int, writes: int) -> None:
        self.names = names
        self.classes: dict[str, Any] = {}
        self.lent: list[Callable[..., Any]] = []
        self.line = Line(reads, writes, self._serve)
        self.gone = False
        """Whether the program has ended. A test may catch what is raised then; the verdict looks here."""

    def do(self, deed: str, on: int | None, *given: Any, **named: Any) -> Any:
        """Let the program do something: what it gives."""
        args = [self._pack(one) for one in given]
        packed = {key: self._pack(value) for key, value in named.items()}
        try:
            reply = self.line.ask({"do": deed, "on": on, "args": args, "named": packed})
        except Gone:
            self.gone = True
            raise Ended from None
        if "error" in reply:
            raise self._error(*reply["error"])
        for mine, left in zip(given, reply.get("args", ()), strict=False):
            _change(mine, self._unpack(left))
        return self._unpack(reply["value"])

    def _error(self, name: str, text: str) -> BaseException:
        kind: Any = self.classes.get(name) or getattr(builtins, name, None)
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            kind = type(name, (Exception,), {})
        try:
            error: BaseException = kind(text)
        except TypeError:  # it wants more than a text
            error = Exception(text)
        return error

    def _pack(self, value: Any) -> Any:
        return pack(value, self._lend, self.classes)

    def _lend(self, value: Any) -> list[Any]:
        if isinstance(value, StandIn):
            return ["yours", vars(value)["_number"]]
        iterates = isinstance(value, Iterator)
        if not iterates and not callable(value):
            raise TypeError(f"a test hands over a {type(value).__name__}, which cannot be made plain data")
        self.lent.append(value.__next__ if iterates else value)
        return ["iterator" if iterates else "function", len(self.lent) - 1]

    def _unpack(self, data: Any) -> Any:
        return unpack(data, self._take, self.classes)

    def _take(self, kind: str, body: list[Any]) -> Any:
        number, name = body
        if kind != "lent" or type(number) is not int or not isinstance(name, str):
            raise ValueError("data of no known kind")
        return self._await(number) if name == "coroutine" else StandIn(self, number)

    async def _await(self, number: int) -> Any:
        return self.do("await", number)

    def _serve(self, message: dict[str, Any]) -> dict[str, Any]:
        """The program calls a function that a test has given it."""
        number = message["on"]
        if type(number) is not int or not 0 <= number < len(self.lent):
            raise ValueError("no such function")
        given = [self._unpack(one) for one in message["args"]]
        named = {key: self._unpack(value) for key, value in message["named"].items()}
        try:
            return {"value": self._pack(self.lent[number](*given, **named))}
        except Exception as error:
            return {"error": [type(error).__name__, str(error)[:500]]}


def _change(mine: Any, left: Any) -> None:
    """Make a test's own value what the program has left of it."""
    if type(mine) is not type(left):
        return
    if isinstance(mine, list | bytearray):
        mine[:] = left
    elif isinstance(mine, collections.deque):
        mine.clear()
        mine.extend(left)
    elif isinstance(mine, set | dict):
        mine.clear()
        mine.update(left)
    elif hasattr(mine, "__dict__") and not isinstance(mine, StandIn | type):
        vars(mine).clear()
        vars(mine).update(vars(left))


def missing(tests: ast.Module, known: dict[str, Any]) -> list[str]:
    """The names that tests use and nobody defines: those of the program."""
    nodes = list(ast.walk(tests))
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    defined |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    used = (node.id for node in nodes if isinstance(node, ast.Name))
    return [name for name in dict.fromkeys(used) if not (name in defined or name in known or hasattr(builtins, name))]


def examine(desk: Desk, tests: str, begin: str, entry: list[str]) -> None:
    """Run the tests; an exception says that they are not passed."""
    names = desk.names
    if begin:
        exec(compile(answer.context(begin, entry), "question.py", "exec", dont_inherit=True), names)
        desk.classes = {
            name: value for name, value in names.items() if isinstance(value, type) and value.__module__ == "tests"
        }
    tree = ast.parse(tests, "tests.py")
    for name in entry or missing(tree, names):
        try:
            names[name] = desk.do("name", None, name)
        except KeyError:
            raise NameError(f"the program defines no {name!r}") from None
    exec(compile(tree, "tests.py", "exec", dont_inherit=True), names)


def main(tests: int, reads: int, writes: int, verdict: int) -> None:
    """Within the walls: run what stands in a file, and write the verdict."""
    os.lseek(tests, 0, os.SEEK_SET)
    with os.fdopen(tests, "rb") as file:
        order = json.loads(file.read())
    desk = Desk(types.ModuleType("tests").__dict__, reads, writes)
    said: dict[str, Any] = {"passed": True}
    try:
        examine(desk, order["tests"], order["begin"], order["entry"])
    except BaseException as error:
        said = {"why": f"{type(error).__name__}: {error}".strip(": ")[:500]}
    if desk.gone:
        said = {"gone": True}
    os.write(verdict, json.dumps(said).encode("ascii"))
    os._exit(0)
