"""A server that breaks the rules: what it sends on each connection is given byte for byte."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Sends = Callable[["Request"], "bytes | Iterable[bytes]"]
"""A request to the bytes of its reply, all at once or bit by bit; no bytes hang up."""


@dataclass(frozen=True)
class Request:
    """What came in."""

    line: str
    headers: dict[str, str]
    body: Any
    connection: int
    """Which connection it came over, from 0."""


@dataclass
class Log:
    """What a server was sent."""

    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def asked(self) -> list[Any]:
        """The bodies of questions."""
        return [r.body for r in self.requests if r.line.startswith("POST")]


def http(body: bytes | Any, status: str = "200 OK", **headers: str) -> bytes:
    """A whole reply."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + data


def choice(text: Any = "said", **more: Any) -> dict[str, Any]:
    """A choice of a chat."""
    return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **more}


def answer(text: Any = "said", **more: Any) -> bytes:
    """A whole reply with one answer."""
    return http({"choices": [choice(text)], **more})


MODELS = http({"data": [{"id": "tiny"}]})


@contextmanager
def hostile(sends: Sends, models: bytes = MODELS) -> Iterator[tuple[str, Log]]:
    """The address of a server, and what it was sent. ``sends`` answers questions."""
    log, over = Log(), threading.Event()
    door = socket.create_server(("127.0.0.1", 0), backlog=256)

    def talk(line: socket.socket, number: int) -> None:
        with line, suppress(OSError), line.makefile("rb") as file:
            while first := file.readline():
                headers = {}
                while (header := file.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                data = file.read(int(headers.get("content-length", 0)))
                request = Request(first.decode().strip(), headers, json.loads(data) if data else None, number)
                with log.lock:
                    log.requests.append(request)
                parts = models if request.line.startswith("GET") else sends(request)
                if parts == b"":
                    return
                for part in [parts] if isinstance(parts, bytes) else parts:
                    if over.is_set():
                        return
                    line.sendall(part)

    def accept() -> None:
        while not over.is_set():
            with suppress(OSError):
                line, _ = door.accept()
                with log.lock:
                    number, log.connections = log.connections, log.connections + 1
                threading.Thread(target=talk, args=(line, number), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}/v1", log
    finally:
        over.set()
        door.close()


def drip(data: bytes, seconds: float) -> Iterator[bytes]:
    """One byte after the other, with pauses."""
    for byte in data:
        yield bytes([byte])
        time.sleep(seconds)
