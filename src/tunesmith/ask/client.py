"""HTTP to a server that may be slow, busy, broken or hostile.

    client = Client("http://localhost:8000/v1", key="...")
    client.get("models")                                    one request; the body
    client.each(jobs, work, failed)                         many at once: ``await work(job)`` for each
        await client.post("chat/completions", body)             within ``work``: one request, as often as it takes

What fails for a reason that passes (too many requests, a restart, a lost connection) is tried again, with growing
pauses or after as long as the server asks for, a minute at most. A question has one deadline for all its tries
together. Bodies have a limit, and so have headers. Nothing is redirected: the key would go along to a stranger. aiohttp
sends the requests, over connections that are kept; ``benchmarks/client.py`` compares it with others.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from tunesmith.ask.safe import Mask, beginning, printable
from tunesmith.core.errors import EvalError

T = TypeVar("T")
_PASSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that another try may better."""
_OF_ALL = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405})
"""Statuses that most likely all requests would get."""
_LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for more is asked again all the same."""
_MOST_BYTES = 64 << 20
"""Of a body. The log-likelihoods of a prompt of 30 options and 8,000 tokens each take 30 MB."""
_SHOWN = 400
"""Characters of a server's text in an error."""
_IN_A_ROW = 8
"""Questions that may fail one after the other before the others are left unasked."""


_LAST: ContextVar[str] = ContextVar("last", default="")
"""What went wrong in the last try of the question that this task works on."""


class Refused(Exception):
    """This question will not be answered."""

    of_all = False
    """Whether others will most likely fail as well."""


class Unanswered(Refused):
    """The server does not answer: no connection, or too late."""

    of_all = True


class _Final(Refused):
    of_all = True


class _Later(Exception):
    """Another try may better it."""

    def __init__(self, said: str, after: float | None = None, *, answered: bool = False) -> None:
        super().__init__(said)
        self.after, self.answered = after, answered


class Client:
    """Requests to one server."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        at_once: int = 32,
        tries: int = 8,
        timeout: float = 600.0,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``timeout`` is the seconds that a question may take, all tries and pauses together."""
        self.url, self.mask = _checked(url), Mask(key)
        self.retried = 0
        """Tries that failed and were made again."""
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            if not key.isascii() or not key.isprintable():
                raise EvalError("The key in OPENAI_API_KEY holds characters that no key has; wanted printable ASCII.")
            self._headers["Authorization"] = f"Bearer {key}"
        self._at_once, self._tries, self._timeout, self._wait = max(1, at_once), tries, timeout, wait
        self._proxy = _proxy(self.url)
        self._not_before = 0.0
        """The server has asked everybody to wait until then."""
        self._session: aiohttp.ClientSession | None = None

    def safe(self, text: object) -> str:
        """A text of the server on one line, fit for an error: without the key and without terminal escapes."""
        return self.mask(" ".join(printable(self.mask(str(text))).split()))[:_SHOWN]

    def get(self, path: str) -> bytes:
        """One request, once."""

        async def once() -> bytes:
            async with self._connected(), asyncio.timeout(min(self._timeout, 60.0)):
                return await self._once(path, None)

        try:
            return run(once())
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except _Later as error:
            raise (Refused if error.answered else Unanswered)(str(error)) from None

    def each(
        self,
        jobs: Sequence[T],
        work: Callable[[T], Awaitable[object]],
        failed: Callable[[T, str], object],
        done: Callable[[T], object] = lambda job: None,
    ) -> str:
        """Do all jobs, some at once. One that fails is told by its reason and ends nothing. Where many fail in a row
        the server itself is at fault: then the others are left, told as failed too, and the reason is returned."""
        waiting = iter(jobs)
        row: list[str] = []

        async def worker() -> None:
            for job in waiting:
                if len(row) >= _IN_A_ROW:
                    failed(job, f"not asked, since {len(row)} others failed in a row: {row[0]}")
                    continue
                _LAST.set("")
                try:
                    async with asyncio.timeout(self._timeout):
                        await work(job)
                    row.clear()
                except (Refused, TimeoutError) as error:
                    reason = self.safe(error if isinstance(error, Refused) else self._late())
                    failed(job, reason)
                    if isinstance(error, TimeoutError) or error.of_all:
                        row.append(reason)
                    else:
                        row.clear()
                done(job)

        async def all_() -> None:
            async with self._connected(), asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(jobs))):
                    group.create_task(worker())

        if jobs:
            try:
                run(all_())
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
        return row[0] if len(row) >= _IN_A_ROW else ""

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The body of the reply to one request, as often as it takes."""
        data = json.dumps(body).encode()
        last = ""
        for number in range(self._tries):
            while (left := self._not_before - time.monotonic()) > 0:
                await self._wait(left)
            try:
                return await self._once(path, data)
            except _Later as later:
                last = str(later)
                _LAST.set(f"; at last: {last}")
                self.retried += 1
                if later.after is not None:  # the server asks all of us to wait
                    self._not_before = max(self._not_before, time.monotonic() + later.after)
                elif number < self._tries - 1:
                    await self._wait(min(_LONGEST_PAUSE, 2.0**number) * (0.5 + random.random()))
        raise Unanswered(f"failed {self._tries} times, at last: {last}")

    async def _once(self, path: str, data: bytes | None) -> bytes:
        assert self._session is not None
        try:
            async with self._session.request(
                "POST" if data is not None else "GET",
                f"{self.url}/{path}",
                data=data,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                if answer.status != 200:
                    raise await self._refusal(path, answer)
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise Refused("a compressed reply, which was not asked for")
                return await _body(answer)
        except aiohttp.ClientPayloadError as error:
            raise _Later(f"the reply broke off ({self.safe(error)})") from None
        except aiohttp.ServerDisconnectedError:
            raise _Later("the server hung up") from None
        except aiohttp.ClientConnectionError as error:
            raise _Later(f"no connection: {self.safe(error)}") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise _Later(f"no HTTP: {self.safe(f'{type(error).__name__}: {error}')}") from None

    async def _refusal(self, path: str, answer: aiohttp.ClientResponse) -> Exception:
        """What a status other than 200 means."""
        status = answer.status
        if 300 <= status < 400:
            to = self.safe(answer.headers.get("Location", "nowhere"))
            return _Final(f"{status}: it redirects to {to}. Requests and keys are not sent on; ask that address itself")
        said = self.safe(_message(await _start(answer)))
        if status in _PASSES:
            return _Later(f"{status} {said}", _seconds(answer.headers.get("Retry-After")), answered=True)
        if status in (401, 403):
            return _Final(f"{status} {said} Set the key in OPENAI_API_KEY")
        if status in _OF_ALL:
            return _Final(f"{status} {said} (at {self.url}/{path})")
        return Refused(f"{status} {said}")

    def _late(self) -> str:
        return f"no whole answer within {self._timeout:g} s{_LAST.get()}"

    def _connected(self) -> _Session:
        return _Session(self)


class _Session:
    """Connections that are kept while it is open."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> None:
        self._client._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
            auto_decompress=False,
        )

    async def __aexit__(self, *_: object) -> None:
        session, self._client._session = self._client._session, None
        if session is not None:
            await session.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, also where the caller is inside a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _checked(url: str) -> str:
    """An address as requests begin."""
    if "@" in url:
        raise EvalError("An address holds no name and no password: it is shown and kept. Set OPENAI_API_KEY.")
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:
        whole = False
    if not whole or printable(url) != url or any(c.isspace() for c in url):
        raise EvalError(f"{printable(url)!r} is no address of a server; wanted something like http://localhost:8000/v1")
    return url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > _MOST_BYTES:
            answer.close()
            raise Refused(f"a reply of more than {_MOST_BYTES >> 20} MB")
        parts.append(part)
    return b"".join(parts)


async def _start(answer: aiohttp.ClientResponse) -> bytes:
    """What an error says; the rest is left where it is."""
    found = b""
    async for part in answer.content.iter_any():
        found += part
        if len(found) > 1 << 16:
            answer.close()
            break
    return found


def _message(data: bytes) -> str:
    """What a server says of its refusal, in whatever shape."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return beginning(data)
    for key in ("error", "detail", "message"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _seconds(text: str | None) -> float | None:
    """How long a server asks to wait, in seconds or until a date; a minute at most, and None where it says nothing that
    can be kept to."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), _LONGEST_PAUSE)
