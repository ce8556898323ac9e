"""Requests a second to a server that answers at once: ways to send them, side by side.

    python benchmarks/client.py [--requests 4000] [--at-once 32 256] [--delay 0]

The server is a process of its own that answers every request with the same small completion, after ``--delay`` seconds.
Each client sends the same chat requests. What counts is the processor time of the client for a thousand requests, which
a busy machine does not touch; the rate is shown beside it. httpx is measured where it is installed. Ends with one line
of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer key"}
REPLY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "An answer. " * 20}}
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 40},
    }
).encode()


class _Answering(asyncio.Protocol):
    """Reads requests off a connection and answers each in full."""

    delay = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.waiting) < end + 4 + size:
                return
            self.waiting = self.waiting[end + 4 + size :]
            reply = b'{"data": [{"id": "tiny"}]}' if head.startswith(b"get") else REPLY
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.answer, reply)
            else:
                self.answer(reply)

    def answer(self, reply: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(reply)}\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head.encode() + reply)


def serve(port: Any, delay: float) -> None:
    """Answer until the process is ended."""

    async def forever() -> None:
        _Answering.delay = delay
        server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def body(i: int) -> bytes:
    """One request."""
    text = f"Question {i}: what is the capital of France, and why? " * 4
    return json.dumps({"model": "tiny", "temperature": 0, "messages": [{"role": "user", "content": text}]}).encode()


def urllib_(port: int, many: int, at_once: int) -> None:
    """The standard library, a new connection for each request."""

    def one(i: int) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body(i), HEADERS)
        with urllib.request.urlopen(request, timeout=60) as answer:
            json.load(answer)["choices"]

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(many)))


def threads(port: int, many: int, at_once: int) -> None:
    """The standard library, a thread for each connection, connections kept."""
    own = threading.local()

    def one(i: int) -> None:
        if not hasattr(own, "it"):
            own.it = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        own.it.request("POST", "/v1/chat/completions", body(i), HEADERS)
        json.loads(own.it.getresponse().read())["choices"]

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(many)))


def aiohttp_(port: int, many: int, at_once: int) -> None:
    """aiohttp, one session."""
    import aiohttp

    async def work() -> None:
        numbers = iter(range(many))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker() -> None:
                for i in numbers:
                    address = f"http://127.0.0.1:{port}/v1/chat/completions"
                    async with session.post(address, data=body(i), headers=HEADERS, allow_redirects=False) as answer:
                        json.loads(await answer.read())["choices"]

            await asyncio.gather(*(worker() for _ in range(at_once)))

    asyncio.run(work())


def httpx_(port: int, many: int, at_once: int) -> None:
    """httpx, one client."""
    import httpx

    async def work() -> None:
        numbers = iter(range(many))
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:

            async def worker() -> None:
                for i in numbers:
                    address = f"http://127.0.0.1:{port}/v1/chat/completions"
                    (await client.post(address, content=body(i), headers=HEADERS)).json()["choices"]

            await asyncio.gather(*(worker() for _ in range(at_once)))

    asyncio.run(work())


def ours(port: int, many: int, at_once: int, file: str = "") -> None:
    """The client of this package: aiohttp, every reply checked."""
    from tunesmith.ask.cache import Cache
    from tunesmith.ask.server import Server
    from tunesmith.core.types import Conversation, Message

    texts = (f"Question {i}: what is the capital of France, and why? " * 4 for i in range(many))
    questions = [Conversation((Message("user", text),)) for text in texts]
    cache = Cache(file) if file else None
    Server(f"http://127.0.0.1:{port}/v1", "tiny", at_once=at_once, cache=cache).say(questions, limit=64)


def ours_kept(port: int, many: int, at_once: int) -> None:
    """The same, and every answer is on the disk before the next request is sent."""
    with tempfile.TemporaryDirectory() as folder:
        ours(port, many, at_once, f"{folder}/answers.sqlite")


WAYS: dict[str, Callable[[int, int, int], None]] = {
    "urllib, new connections": urllib_,
    "http.client, kept": threads,
    "aiohttp": aiohttp_,
    "ours": ours,
    "ours, each answer kept": ours_kept,
    **({"httpx": httpx_} if find_spec("httpx") else {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--delay", type=float, default=0.0)
    args = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there, args.delay), daemon=True)
    server.start()
    port = here.recv()
    found = []
    for at_once in args.at_once:
        for name, way in WAYS.items():
            way(port, min(200, args.requests), at_once)
            began, cpu = time.perf_counter(), time.process_time()
            way(port, args.requests, at_once)
            rate = args.requests / (time.perf_counter() - began)
            each = 1000 * (time.process_time() - cpu) / args.requests
            found.append({"way": name, "at_once": at_once, "rate": round(rate), "cpu_ms": round(each, 3)})
            print(f"{at_once:4} in flight  {name:26} {rate:7,.0f} requests/s  {each:6.3f} ms of CPU each", flush=True)
    server.terminate()
    print(json.dumps({"requests": args.requests, "delay": args.delay, "found": found}))


if __name__ == "__main__":
    main()
