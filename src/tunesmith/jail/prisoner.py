"""Runs a program that nobody has read, then answers calls of its functions until nobody asks any more.

Everything here belongs to the program once it runs: it may change or forge any of it. It holds the program, the
line on which it is asked, and nothing else: neither the tests nor the place where the verdict is written.
"""

from __future__ import annotations

import builtins
import json
import operator
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any

from tunesmith.jail import answer
from tunesmith.jail.plain import Line, pack, unpack


def run(source: str) -> int:
    """Run a whole program as a script: its exit status."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(source, "program.py", "exec"), module.__dict__)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    except SystemExit as stop:
        _flush()
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        _flush()
        tell(error)
        return 1
    _flush()
    return -1


def tell(error: BaseException) -> None:
    """What went wrong, as the last line of stderr."""
    sys.stderr.write("".join(traceback.format_exception_only(error)))
    sys.stderr.flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def serve(order: str, reads: int, writes: int) -> None:
    """Run the program in an answer, then answer calls. ``order`` is JSON: the answer's text, what the question has
    shown of the program, and the names that are wanted of it."""
    wanted = json.loads(order)
    sources = answer.program_in(wanted["text"], wanted["begin"], wanted["entry"])
    module = types.ModuleType("program")
    sys.modules["program"] = module
    names = module.__dict__
    shared: list[str] = []
    for i, source in enumerate(sources):
        exec(compile(source, "program.py", "exec", dont_inherit=True), names)
        if i == 0 and wanted["begin"]:
            shared = [
                name for name, value in names.items() if isinstance(value, type) and value.__module__ == "program"
            ]
    _flush()
    Shop(names, shared, reads, writes).line.serve()


class Shop:
    """The program's functions, as others call them."""

    def __init__(self, names: dict[str, Any], shared: list[str], reads: int, writes: int) -> None:
        self.names, self.shared = names, shared
        self.lent: list[Any] = []
        self.line = Line(reads, writes, self.reply)

    def reply(self, message: dict[str, Any]) -> dict[str, Any]:
        """What is told of one request."""
        try:
            given = [self.unpack(one) for one in message["args"]]
            named = {key: self.unpack(value) for key, value in message.get("named", {}).items()}
            on = self.names if message["on"] is None else self.lent[message["on"]]
            value = _DEEDS[message["do"]](on, *given, **named)
            reply = {"value": self.pack(value)}
            if value is None and message["do"] == "call":  # it may have changed what it was given instead
                reply["args"] = [self.pack(one) for one in given]
            return reply
        except BaseException as error:
            return {"error": [type(error).__name__, str(error)[:500]]}

    def pack(self, value: Any) -> Any:
        """A value as plain data; what is none is kept here."""
        classes = {name: self.names.get(name) for name in self.shared}
        try:
            return pack(value, self._lend, classes)
        except RecursionError:
            return self._lend(value)

    def _lend(self, value: Any) -> list[Any]:
        self.lent.append(value)
        return ["lent", len(self.lent) - 1, type(value).__name__]

    def unpack(self, data: Any) -> Any:
        """The value of plain data, or what was kept here."""
        return unpack(data, self._take, {name: self.names.get(name) for name in self.shared})

    def _take(self, kind: str, body: list[Any]) -> Any:
        if kind == "yours":
            return self.lent[body[0]]

        def call(*given: Any, **named: Any) -> Any:
            packed = {key: self.pack(value) for key, value in named.items()}
            reply = self.line.ask({"on": body[0], "args": [self.pack(one) for one in given], "named": packed})
            if "error" in reply:
                name, text = reply["error"]
                found = getattr(builtins, name, None)
                raise found(text) if isinstance(found, type) and issubclass(found, Exception) else Exception(text)
            return self.unpack(reply["value"])

        return iter(_Pulled(call)) if kind == "iterator" else call


class _Pulled:
    """An iterator of the other side."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __iter__(self) -> _Pulled:
        return self

    def __next__(self) -> Any:
        return self._call()


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


_DEEDS: dict[str, Callable[..., Any]] = {
    "name": operator.getitem,
    "call": lambda function, *given, **named: function(*given, **named),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "repr": repr,
    "int": int,
    "float": float,
    "index": operator.index,
    "round": round,
    "await": _awaited,
}


def main(program: int, reads: int, writes: int, *, served: bool) -> None:
    """Within the walls: run what stands in a file, to the end of this process."""
    os.lseek(program, 0, os.SEEK_SET)
    with os.fdopen(program, "rb") as file:
        text = file.read().decode("utf-8", "surrogatepass")
    if not served:
        status = run(text)
        if status < 0:
            os.write(writes, b".")
        os._exit(max(status, 0) & 0xFF)
    try:
        serve(text, reads, writes)
    except SystemExit as stop:
        os._exit(stop.code & 0xFF if isinstance(stop.code, int) else int(stop.code is not None))
    except BaseException as error:
        tell(error)
        os._exit(1)
    os._exit(0)
