"""Values as plain data, and the line on which two processes call each other's functions with them.

    pack([1, (2.5, "a")])     ["list", [1, ["tuple", [2.5, "a"]]]]
    unpack(...)               the same value, made anew

What comes in is JSON and becomes nothing but numbers, texts, containers and a few types of the standard library, each
made here from its parts. An object of the sender's own class never crosses, nor does its idea of being equal to
something: a subclass of ``list`` arrives as a list. What is not plain stays with its owner, who keeps it under a
number; the other side gets a stand-in for that number.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import json
import os
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST = 64 << 20
"""Bytes of a message."""
_SMALL = 1 << 53
_ARRAY_TYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
)

Lend = Callable[[Any], list[Any]]
"""What to send in place of a value that is not plain; raises ``TypeError`` where it cannot be lent."""
Take = Callable[[str, list[Any]], Any]
"""What a thing becomes that the other side has lent."""


def pack(value: Any, lend: Lend, classes: Mapping[str, Any]) -> Any:
    """A value as JSON. ``classes`` are those that both sides know by name; their objects cross by their attributes."""

    def each(values: Iterable[Any]) -> list[Any]:
        return [pack(one, lend, classes) for one in values]

    if value is None or value is True or value is False:
        return value
    kind: Any = type(value)
    if isinstance(value, int):
        number = int.__index__(value)
        return number if -_SMALL < number < _SMALL else ["int", hex(number)]
    if isinstance(value, float):
        return float.__add__(value, -0.0)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, bytes | bytearray):
        return ["bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex()]
    if isinstance(value, tuple):
        return ["tuple", each(tuple.__iter__(value))]
    if isinstance(value, list):
        return ["list", each(list.__iter__(value))]
    if isinstance(value, set):
        return ["set", each(set.__iter__(value))]
    if isinstance(value, frozenset):
        return ["frozenset", each(frozenset.__iter__(value))]
    if isinstance(value, dict):
        name = kind.__name__ if kind in (collections.OrderedDict, collections.Counter) else "dict"
        return [name, each(dict.items(value))]
    if kind in _BY_TEXT:
        return [kind.__name__, _BY_TEXT[kind](value)]
    if kind is collections.deque:
        return ["deque", each(value), value.maxlen]
    if kind is range:
        return ["range", each((value.start, value.stop, value.step))]
    if kind is datetime.timedelta:
        return ["timedelta", [value.days, value.seconds, value.microseconds]]
    if isinstance(value, type):
        type_name = value.__name__
        return ["type", type_name] if getattr(builtins, type_name, None) is value else lend(value)
    class_name = type(value).__name__
    if classes.get(class_name) is type(value) and hasattr(value, "__dict__"):
        return ["object", class_name, each(vars(value).items())]
    array = _array(value)
    return lend(value) if array is None else array


_BY_TEXT: dict[Any, Callable[[Any], str]] = {
    Decimal: str,
    Fraction: str,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
}


def _array(value: Any) -> Any:
    """An array of numpy, or one of its numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.generic) and value.dtype.name in _ARRAY_TYPES:
        return value.item()
    if isinstance(value, numpy.ndarray) and value.dtype.name in _ARRAY_TYPES:
        return ["array", value.dtype.name, list(value.shape), value.ravel().tolist()]
    return None


def unpack(data: Any, take: Take, classes: Mapping[str, Any]) -> Any:
    """The value of some JSON. ``ValueError`` where it has none."""

    def each(values: Any) -> list[Any]:
        return [unpack(one, take, classes) for one in values]

    if data is None or isinstance(data, bool | int | float | str):
        return data
    if not isinstance(data, list) or len(data) < 2 or not isinstance(data[0], str):
        raise ValueError("data of no known kind")
    name, body = data[0], data[1]
    if name in _MADE_OF_PARTS:
        return _MADE_OF_PARTS[name](each(body))
    if name in _MADE_OF_TEXT:
        return _MADE_OF_TEXT[name](body)
    if name == "int":
        return int(body, 16)
    if name == "complex":
        return complex(data[1], data[2])
    if name == "deque":
        return collections.deque(each(body), data[2])
    if name == "object":
        return _object(classes, body, each(data[2]))
    if name == "type":
        found = getattr(builtins, body, None)
        if not isinstance(found, type):
            raise ValueError(f"no type {body!r}")
        return found
    if name == "array":
        import numpy

        if body not in _ARRAY_TYPES:
            raise ValueError(f"no array of {body!r}")
        return numpy.array(data[3], dtype=body).reshape([int(size) for size in data[2]])
    return take(name, data[1:])


_MADE_OF_PARTS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "OrderedDict": collections.OrderedDict,
    "Counter": lambda pairs: collections.Counter(dict(pairs)),
    "range": lambda parts: range(*parts),
    "timedelta": lambda parts: datetime.timedelta(*parts),
}
_MADE_OF_TEXT: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Decimal": Decimal,
    "Fraction": Fraction,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
}


def _object(classes: Mapping[str, Any], name: str, attributes: list[Any]) -> Any:
    kind = classes.get(name)
    if not isinstance(kind, type):
        raise ValueError(f"no class {name!r}")
    made: Any = object.__new__(kind)
    for key, value in attributes:
        if not isinstance(key, str) or not key.isidentifier() or key.startswith("__"):
            raise ValueError(f"no attribute {key!r}")
        object.__setattr__(made, key, value)
    return made


class Gone(Exception):
    """The other side has ended."""


class Line:
    """One side of a line. A call waits for its reply and serves what the other side asks in the meantime."""

    def __init__(self, reads: int, writes: int, serve: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._reads, self._writes, self._serve = reads, writes, serve

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the other side replies."""
        self._send({**message, "asks": True})
        while True:
            received = self._receive()
            if not received.get("asks"):
                return received
            self._send(self._serve(received))

    def serve(self) -> None:
        """Reply until the other side has ended."""
        while True:
            try:
                received = self._receive()
            except Gone:
                return
            self._send(self._serve(received))

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode("ascii")
        if len(text) > MOST:
            raise ValueError(f"a message of more than {MOST >> 20} MB")
        data = memoryview(struct.pack("=I", len(text)) + text)
        while data:
            try:
                data = data[os.write(self._writes, data) :]
            except BrokenPipeError:
                raise Gone from None

    def _receive(self) -> dict[str, Any]:
        (size,) = struct.unpack("=I", self._read(4))
        if size > MOST:
            raise ValueError(f"a message of more than {MOST >> 20} MB")
        message = json.loads(self._read(size))
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        return message

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = os.read(self._reads, min(size - len(data), 1 << 20))
            if not more:
                raise Gone
            data += more
        return bytes(data)
