"""A model behind a server that speaks OpenAI's language: vLLM, SGLang, llama.cpp, a hosted one.

    who = Server("http://localhost:8000/v1", "Qwen3-8B")
    who.say(questions, limit=512)                   as a local model would

    who = Server(url, name, fmt=fmt)                our tokens: prompts go as ids, and options can be ranked

Without a format the server puts messages into its own template, and cannot rank. With one (``#tokenizer=FOLDER`` on the
command line) it gets the very ids that training saw, and where it gives the log-likelihoods of a prompt (vLLM does),
options are ranked as on this machine.

Many requests run at once. What fails for a reason that passes (too many requests, a restart, a lost connection) is
tried again, after as long as the server asks for; what fails for good (no such model, no right) ends the evaluation at
once, with what was answered by then in the cache. The standard library's client does all of this: requests last
seconds, so nothing is gained by a faster one.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.errors import EvalError, nearest
from tunesmith.evals.respondent import Format, Said, option_ids
from tunesmith.types import Conversation

if TYPE_CHECKING:
    from tunesmith.evals.cache import Cache
    from tunesmith.models.generate import Progress

_PASSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers that another try may better."""
_FINAL = frozenset({401, 402, 403, 404, 405})
"""Answers that all requests would get."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a server was asked for."""

    requests: int = 0
    known: int = 0
    """Answers that stood in the cache."""
    tries: int = 0
    """Tries that failed and were made again."""
    read: int = 0
    """Tokens of prompts, as the server counts them."""
    written: int = 0
    seconds: float = 0.0

    def cost(self, read: float, written: float) -> float:
        """At prices of a million tokens."""
        return (self.read * read + self.written * written) / 1e6

    def __str__(self) -> str:
        rate = f", {self.written / self.seconds:,.0f} tokens/s" if self.seconds and self.written else ""
        again = f", {self.tries:,} tried again" if self.tries else ""
        known = f", {self.known:,} known before" if self.known else ""
        return (
            f"{self.requests:,} requests in {self.seconds:.1f} s{again}{known}; "
            f"{self.read:,} tokens read, {self.written:,} written{rate}"
        )


class Server:
    """A model behind a server."""

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        fmt: Format | None = None,
        key: str = "",
        cache: Cache | None = None,
        again: bool = False,
        at_once: int = 32,
        tries: int = 8,
        timeout: float = 600.0,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """``key`` is the password of the service. ``again`` asks also what the cache knows: a name says nothing about
        the weights behind it."""
        if not url.startswith(("http://", "https://")):
            raise EvalError(f"{url!r} is no address of a server; wanted something like http://localhost:8000/v1")
        self.url = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
        self.fmt, self.used, self.ranks = fmt, Used(), fmt is not None
        self._key, self._cache, self._again = key, cache, again
        self._over = threading.Event()
        """Set when no more answers are wanted; it also ends all pauses."""
        self._at_once, self._tries, self._timeout, self._wait = at_once, tries, timeout, wait or self._over.wait
        self._limit_key = "max_tokens"
        self._not_before = 0.0
        self._lock = threading.Lock()
        self.model = self._named(model)

    def say(self, questions: Sequence[Conversation], *, limit: int, progress: Progress | None = None) -> list[Said]:
        """Free answers of at most ``limit`` tokens, the likeliest token each time."""
        said = []
        asked = [self._question(question, limit) for question in questions]
        for place, reply in zip(asked, self._all(asked, progress), strict=True):
            choice = reply["choices"][0]
            text = choice["text"] if "prompt" in place[1] else (choice.get("message") or {}).get("content")
            said.append(Said(text or "", choice.get("finish_reason") == "stop"))
        return said

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]:
        """The log-likelihood of each option, its end included."""
        if self.fmt is None or not questions:
            return []
        asked: list[tuple[str, dict[str, Any]]] = []
        spans: list[list[tuple[int, int]]] = []
        for question in questions:
            prompt = self.fmt.prompt(question).tolist()
            options = [ids.tolist() for ids in option_ids(self.fmt, question)]
            spans.append([(len(prompt), len(prompt) + len(option)) for option in options])
            body = {"prompt": [prompt + option for option in options], "max_tokens": 1, "logprobs": 1, "echo": True}
            asked.append(("completions", {"model": self.model, "temperature": 0, **body}))
        return [self._sums(reply, places) for reply, places in zip(self._all(asked, None), spans, strict=True)]

    def bits(self, texts: Sequence[str]) -> list[float]:
        """Not through a server."""
        raise EvalError(f"{self.url}: how well texts are predicted is asked of models on this machine only.")

    def length(self, text: str) -> int | None:
        """How many tokens a text has, where the format is known."""
        return len(self.fmt.text_ids(text)) if self.fmt else None

    def tokens(self, question: Conversation, said: Said) -> None:
        """What the server made of a question is not known."""
        return

    def _sums(self, reply: Any, spans: Sequence[tuple[int, int]]) -> tuple[float, ...]:
        found: dict[int, float] = {}
        for choice in reply["choices"]:
            a, b = spans[choice.get("index", 0)]
            each = (choice.get("logprobs") or {}).get("token_logprobs") or []
            if len(each) < b or any(x is None for x in each[a:b]):
                raise EvalError(
                    f"{self.url} does not give the log-likelihoods of a prompt's tokens (`echo` with `logprobs`), as "
                    "vLLM does, so it cannot rank options. Ask without: rank: false in the suite."
                )
            found[choice.get("index", 0)] = float(sum(each[a:b]))
        return tuple(found[i] for i in range(len(spans)))

    def _question(self, question: Conversation, limit: int) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": self.model, "temperature": 0, "max_tokens": limit}
        if self.fmt is not None:
            stops = sorted(self.fmt.stop_ids)
            return "completions", {**body, "prompt": self.fmt.prompt(question).tolist(), "stop_token_ids": stops}
        if question.tools:
            body["tools"] = [dict(tool) for tool in question.tools]
        return "chat/completions", {**body, "messages": [message.as_dict() for message in question.messages]}

    # -- requests ------------------------------------------------------------------------------------------------------

    def _all(self, asked: Sequence[tuple[str, dict[str, Any]]], progress: Progress | None) -> list[Any]:
        """The replies to all requests, in their order; equal requests are made once."""
        keys = [self._digest(path, body) for path, body in asked]
        replies: dict[bytes, Any] = {}
        if self._cache and not self._again:
            replies = self._cache.get(keys)
        new = {key: i for i, key in enumerate(keys) if key not in replies}
        known = sum(key in replies for key in keys)
        began, refused = time.monotonic(), list[str]()
        self._over.clear()
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="ask") as pool, self._kept() as keep:
            waiting: dict[Future[Any], bytes] = {pool.submit(self._ask, *asked[i]): key for key, i in new.items()}
            try:
                for done, future in enumerate(as_completed(waiting), 1):
                    try:
                        reply = replies[waiting[future]] = future.result()
                    except _Refused as error:
                        refused.append(str(error))
                    else:
                        keep(waiting[future], reply)
                        self._count(reply)
                    if progress:
                        progress(known + done, len(keys))
            except BaseException:
                self._over.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        seconds = time.monotonic() - began if new else 0.0
        with self._lock:
            self.used = replace(self.used, known=self.used.known + known, seconds=self.used.seconds + seconds)
        if refused:
            more = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
            raise EvalError(
                f"{self.url} refuses {len(refused):,} of {len(asked):,} questions: {refused[0]}{more}. "
                "The answers to the others are kept."
            )
        return [replies[key] for key in keys]

    def _kept(self) -> Any:
        from contextlib import nullcontext

        return self._cache.saving() if self._cache else nullcontext(lambda key, reply: None)

    def _count(self, reply: Any) -> None:
        usage = reply.get("usage") or {}
        with self._lock:
            self.used = replace(
                self.used,
                requests=self.used.requests + 1,
                read=self.used.read + int(usage.get("prompt_tokens") or 0),
                written=self.used.written + int(usage.get("completion_tokens") or 0),
            )

    def _digest(self, path: str, body: dict[str, Any]) -> bytes:
        text = json.dumps([self.url, path, body], sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """One request, as often as it takes."""
        for number in range(self._tries):
            self._until_asked_for()
            try:
                return self._once(path, body)
            except _Later as later:
                last = str(later)
                pause = later.after if later.after is not None else min(60.0, 2.0**number) * (0.5 + random.random())
                with self._lock:
                    self.used = replace(self.used, tries=self.used.tries + 1)
                    if later.after is not None:  # the server asks all of us to wait
                        self._not_before = max(self._not_before, time.monotonic() + pause)
                if self._over.is_set():
                    break
                if number < self._tries - 1 and later.after is None:
                    self._wait(pause)
        raise EvalError(f"{self.url} failed {self._tries} times for the same question; at last: {last}")

    def _until_asked_for(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0 and not self._over.is_set():
            self._wait(left)

    def _once(self, path: str, body: dict[str, Any] | None) -> Any:
        if body is not None and not body.get("echo"):
            body = {self._limit_key if key == "max_tokens" else key: value for key, value in body.items()}
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                reply = json.load(answer)
        except urllib.error.HTTPError as error:
            said = _message(error)
            if error.code in _PASSES:
                after = _seconds(error.headers.get("Retry-After"))
                raise _Later(f"{error.code} {said}", after, answered=True) from None
            if body is not None and "max_tokens" in body and "max_completion_tokens" in said:
                self._limit_key = "max_completion_tokens"  # hosted models that think want this name
                return self._once(path, body)
            if error.code in _FINAL:
                raise EvalError(f"{self.url}/{path}: {error.code} {said}{_hint(error.code)}") from None
            raise _Refused(f"{error.code} {said}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Later(f"{type(error).__name__}: {getattr(error, 'reason', None) or error}") from None
        if not isinstance(reply, dict) or (body is not None and not reply.get("choices")):
            raise _Refused(f"a reply without `choices`: {json.dumps(reply)[:200]}")
        return reply

    def _named(self, model: str) -> str:
        """The model's name, which the server's list must have, if it has one; where it serves one model, that is
        meant."""
        try:
            listed = self._once("models", None)
        except (_Later, _Refused, EvalError) as error:
            if isinstance(error, _Later) and not error.answered:
                raise EvalError(f"{self.url} does not answer: {error}. Is the server running?") from None
            if model:
                return model
            raise EvalError(f"{self.url} has no list of models ({error}). Write {self.url}#NAME") from None
        names = [str(one["id"]) for one in listed.get("data", ())]
        if model in names or (model and not names):
            return model
        if not model and len(names) == 1:
            return names[0]
        close = nearest(model, names)
        hint = f" Did you mean {close!r}?" if close else ""
        shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        raise EvalError(f"{self.url} serves {shown or 'no model'}, and not {model!r}.{hint} Write {self.url}#NAME")


class _Later(Exception):
    """Another try may better it."""

    def __init__(self, said: str, after: float | None = None, *, answered: bool = False) -> None:
        super().__init__(said)
        self.after, self.answered = after, answered


class _Refused(Exception):
    """This question will not be answered."""


def _message(error: urllib.error.HTTPError) -> str:
    """What a server says of its refusal, in whatever shape."""
    text = error.read(4000).decode("utf-8", "replace")
    try:
        value = json.loads(text)
        inner = value.get("error", value.get("detail", value.get("message", value)))
        text = str(inner.get("message", inner) if isinstance(inner, dict) else inner)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:400]


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # a date: our own pauses will do


def _hint(code: int) -> str:
    return " Set the key in OPENAI_API_KEY." if code in (401, 403) else ""


def parts(place: str) -> Iterator[str]:
    """``http://host/v1#model#tokenizer=folder``: the address, the model's name, the tokenizer's folder."""
    url, *rest = place.split("#")
    yield url
    yield next((part for part in rest if not part.startswith("tokenizer=")), "")
    yield next((part.removeprefix("tokenizer=") for part in rest if part.startswith("tokenizer=")), "")
