"""A model behind a server that speaks OpenAI's language: vLLM, SGLang, llama.cpp, a hosted one.

    who = Server("http://localhost:8000/v1", "Qwen3-8B")
    who.say(questions, limit=512)                   as a local model would

    who = Server(url, name, fmt=fmt)                our tokens: prompts go as ids, and options can be ranked

Without a format the server puts messages into its own template, and cannot rank. With one (``#tokenizer=FOLDER`` on the
command line) it gets the very ids that training saw, and where it gives the log-likelihoods of a prompt (vLLM does),
options are ranked as on this machine.

Many requests run at once (``client.py``). An answer is looked at (``reply.py``), and is in the cache before the next
request is sent. A question that fails comes back as ``Failed`` and ends nothing.

An answer is kept under what decides it: the model's name, what the server tells of its weights, and the request. The
address is no part of it, so a model that moves to another port or machine keeps its answers; where they came from is
kept beside them and told. Two servers that give other weights the same name need ``answers``, a name to keep them
apart.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tunesmith.ask.client import Client, Refused, Unanswered
from tunesmith.ask.reply import Choice, Model, Unreadable, Usage, read_likely, read_models, read_said
from tunesmith.ask.respondent import LIKELIEST, Draw, Failed, Format, Said, option_ids
from tunesmith.core.errors import EvalError, nearest
from tunesmith.core.types import Conversation

if TYPE_CHECKING:
    from tunesmith.ask.cache import Cache
    from tunesmith.models.generate import Progress

_TOGETHER = 8
"""Samples of a question that are asked for in one request, so that the server reads its prompt once."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a server was asked for."""

    requests: int = 0
    known: int = 0
    """Answers that stood in the cache."""
    elsewhere: tuple[tuple[str, int], ...] = ()
    """Of those, the ones that were given at another address, and how many there."""
    failed: int = 0
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
        failed = f", {self.failed:,} failed" if self.failed else ""
        known = f", {self.known:,} known before" if self.known else ""
        if self.elsewhere:
            known += f" ({', '.join(f'{many:,} of them from {url}' for url, many in self.elsewhere)})"
        return (
            f"{self.requests:,} requests in {self.seconds:.1f} s{again}{failed}{known}; "
            f"{self.read:,} tokens read, {self.written:,} written{rate}"
        )


class _Kept(BaseModel):
    """An answer as the cache holds it."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="forbid")

    text: str = ""
    finished: bool = False
    logprobs: tuple[float, ...] = ()
    likely: tuple[float, ...] = ()
    """Of options, where those were asked about."""
    source: str
    """The address that gave it."""
    served: str = ""
    """The name and fingerprint that the server answered under."""


@dataclass(slots=True)
class _Job:
    """One request, or several where a server gives fewer samples at a time."""

    path: str
    body: dict[str, Any]
    keys: list[bytes]
    """Under which its samples are kept."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where options stand in their prompts."""


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
        answers: str = "",
        at_once: int = 32,
        tries: int = 8,
        timeout: float = 600.0,
        wait: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        """``key`` is the password of the service. ``again`` asks also what the cache knows: a name says little about
        the weights behind it. ``answers`` keeps the answers of this server apart from those of others that serve the
        same name. ``timeout`` is the seconds that a question may take with all its tries."""
        more = {"wait": wait} if wait else {}
        self._client = Client(url, key=key, at_once=at_once, tries=tries, timeout=timeout, **more)
        self.url = self._client.url
        self.fmt, self.used, self.ranks = fmt, Used(), fmt is not None
        self._cache, self._again, self._answers = cache, again, answers
        self._limit_key = "max_tokens"
        self._singly = False
        """Whether the server gives one sample at a time."""
        found = self._found(model)
        self.model = found.name
        self.identity = (answers, found.name, found.fingerprint)
        """Answers of servers with the same identity are taken for the same model's."""

    def say(
        self,
        questions: Sequence[Conversation],
        *,
        limit: int,
        draw: Draw = LIKELIEST,
        progress: Progress | None = None,
    ) -> list[Said | Failed]:
        """Free answers of at most ``limit`` tokens."""
        keys: list[bytes] = []
        times: Counter[bytes] = Counter()
        bodies: dict[bytes, tuple[str, dict[str, Any]]] = {}
        for question in questions:
            path, body = self._question(question, limit, draw)
            whole = self._digest(path, body, draw.seed if draw.temperature else 0)
            bodies[whole] = path, body
            # Above temperature 0 a question that stands in the list again wants another sample.
            keys.append(_numbered(whole, times[whole]))
            times[whole] += draw.temperature > 0
        kept = self._known(keys)
        jobs = []
        for whole, (path, body) in bodies.items():
            numbers = [n for n in range(max(1, times[whole])) if _numbered(whole, n) not in kept]
            for a in range(0, len(numbers), _TOGETHER):
                some = [_numbered(whole, n) for n in numbers[a : a + _TOGETHER]]
                jobs.append(_Job(path, body, some))
        failed = self._all(jobs, kept, keys, progress)
        found: list[Said | Failed] = []
        for key in keys:
            one = kept.get(key)
            found.append(Said(one.text, one.finished, logprobs=one.logprobs) if one else Failed(failed[key]))
        return found

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...] | Failed]:
        """The log-likelihood of each option, its end included."""
        if self.fmt is None or not questions:
            return []
        jobs = []
        for question in questions:
            prompt = self.fmt.prompt(question).tolist()
            options = [ids.tolist() for ids in option_ids(self.fmt, question)]
            spans = [(len(prompt), len(prompt) + len(option)) for option in options]
            body = {"prompt": [prompt + option for option in options], "max_tokens": 1, "logprobs": 1, "echo": True}
            body |= {"model": self.model, "temperature": 0}
            # The same ids may be divided otherwise between prompt and options.
            key = self._digest("completions", {**body, "from": len(prompt)}, 0)
            jobs.append(_Job("completions", body, [key], spans))
        keys = [job.keys[0] for job in jobs]
        kept = self._known(keys)
        new = {job.keys[0]: job for job in jobs if job.keys[0] not in kept}
        failed = self._all(list(new.values()), kept, keys, None)
        return [one.likely if (one := kept.get(key)) else Failed(failed[key]) for key in keys]

    def bits(self, texts: Sequence[str]) -> list[float]:
        """Not through a server."""
        raise EvalError(f"{self.url}: how well texts are predicted is asked of models on this machine only.")

    def length(self, text: str) -> int | None:
        """How many tokens a text has, where the format is known."""
        return len(self.fmt.text_ids(text)) if self.fmt else None

    def option_tokens(self, question: Conversation) -> tuple[int, ...]:
        """The tokens of each option, its end included; none where the format is not known."""
        return tuple(map(len, option_ids(self.fmt, question))) if self.fmt else ()

    def tokens(self, question: Conversation, said: Said) -> None:
        """What the server made of a question is not known."""
        return

    def _question(self, question: Conversation, limit: int, draw: Draw) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": self.model, "temperature": draw.temperature, "max_tokens": limit}
        if draw.temperature and draw.top_p < 1:
            body["top_p"] = draw.top_p
        if draw.stop:
            body["stop"] = list(draw.stop)
        if self.fmt is not None:
            stops = sorted(self.fmt.stop_ids)
            body |= {"logprobs": 1} if draw.logprobs else {}
            return "completions", {**body, "prompt": self.fmt.prompt(question).tolist(), "stop_token_ids": stops}
        body |= {"logprobs": True} if draw.logprobs else {}
        if question.tools:
            body["tools"] = [dict(tool) for tool in question.tools]
        return "chat/completions", {**body, "messages": [message.as_dict() for message in question.messages]}

    # -- requests ------------------------------------------------------------------------------------------------------

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, _Kept]:
        """What the cache holds; a value that cannot be one is not known."""
        found: dict[bytes, _Kept] = {}
        if self._cache is None or self._again:
            return found
        for key, value in self._cache.get(keys).items():
            try:
                found[key] = _Kept.model_validate_json(json.dumps(value))
            except (ValidationError, ValueError, RecursionError):
                continue
        return found

    def _all(
        self, jobs: Sequence[_Job], kept: dict[bytes, _Kept], keys: Sequence[bytes], progress: Progress | None
    ) -> dict[bytes, str]:
        """Make all requests; answers come into ``kept``, what failed comes back with its reason."""
        known = sum(key in kept for key in keys)
        away = Counter(one.source for key in keys if (one := kept.get(key)) and one.source != self.url)
        failed: dict[bytes, str] = {}
        times = Counter(keys)
        done, began, before = known, time.monotonic(), self._client.retried

        def fail(job: _Job, reason: str) -> None:
            failed.update((key, reason) for key in job.keys if key not in kept)

        def tell(job: _Job) -> None:
            nonlocal done
            done += sum(times[key] for key in job.keys)
            if progress:
                progress(done, len(keys))

        async def work(job: _Job) -> None:
            await self._ask(job, kept)

        over = self._client.each(jobs, work, fail, tell)
        elsewhere = Counter(dict(self.used.elsewhere)) + away
        self.used = replace(
            self.used,
            known=self.used.known + known,
            elsewhere=tuple(elsewhere.most_common()),
            failed=self.used.failed + len(failed),
            tries=self.used.tries + self._client.retried - before,
            seconds=self.used.seconds + (time.monotonic() - began if jobs else 0.0),
        )
        if over and not any(key in kept for key in keys):
            raise EvalError(f"{self.url} answers no question: {over}.")
        return failed

    async def _ask(self, job: _Job, kept: dict[bytes, _Kept]) -> None:
        """All samples of a job; each is kept before anything else is done."""
        left, together = list(job.keys), not self._singly
        while left:
            many = len(left) if together else 1
            body = dict(job.body)
            if body["temperature"]:
                # Of a sample, so that two never share theirs; servers take seeds of 31 bits.
                body["seed"] = int.from_bytes(left[0][:4], "little") >> 1
            if many > 1:
                body["n"] = many
            if not job.spans:
                body[self._limit_key] = body.pop("max_tokens")
            try:
                choices, usage, served = self._read(job, await self._client.post(job.path, body), many)
            except Refused as error:
                if many > 1 and not error.of_all:
                    together = False
                elif "max_tokens" in body and "max_completion_tokens" in str(error) and not job.spans:
                    self._limit_key = "max_completion_tokens"  # hosted models that think want this name
                else:
                    raise
                continue
            # The server gives fewer samples at once than it is asked for, or refuses several and gives one.
            self._singly = self._singly or len(choices) < many or (many < len(left) and not together)
            together = not self._singly
            for key, one in zip(left, choices, strict=False):
                kept[key] = one.model_copy(update={"source": self.url, "served": served})
                if self._cache is not None:
                    self._cache.keep(key, kept[key].model_dump(mode="json"))
            left = left[len(choices) :]
            self.used = replace(
                self.used,
                requests=self.used.requests + 1,
                read=self.used.read + usage.prompt_tokens,
                written=self.used.written + usage.completion_tokens,
            )

    def _read(self, job: _Job, data: bytes, many: int) -> tuple[list[_Kept], Usage, str]:
        """What a reply says; ``Refused`` where it is no answer."""
        mask = self._client.mask
        try:
            if job.spans:
                likely, usage = read_likely(data, job.spans)
                return [_Kept(likely=likely, source=self.url)], usage, ""
            chat = "messages" in job.body
            reply = read_said(data, chat=chat, most=many, logprobs="logprobs" in job.body)
        except Unreadable as error:
            raise Refused(str(error)) from None
        return (
            [_kept(one, mask.answer, self.url) for one in reply.choices],
            reply.usage,
            self._client.safe(reply.served),
        )

    def _digest(self, path: str, body: dict[str, Any], seed: int) -> bytes:
        """Of all that decides an answer."""
        text = json.dumps([self.identity, path, body, seed], sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def _found(self, model: str) -> Model:
        """The model, which the server's list must have, if it has one; where it serves one model, that is meant."""
        safe = self._client.safe
        try:
            listed = read_models(self._client.get("models"))
        except Unanswered as error:
            raise EvalError(f"{self.url} does not answer: {safe(error)}. Is the server running?") from None
        except (Refused, Unreadable) as error:
            if model:
                return Model(model, "")
            raise EvalError(f"{self.url} has no list of models ({safe(error)}). Write {self.url}#NAME") from None
        by_name = {one.name: one for one in listed}
        if model in by_name or (model and not listed):
            return by_name.get(model, Model(model, ""))
        if not model and len(by_name) == 1:
            return listed[0]
        close = nearest(model, by_name)
        hint = f" Did you mean {safe(close)!r}?" if close else ""
        shown = ", ".join(map(safe, list(by_name)[:8])) + (" ..." if len(by_name) > 8 else "")
        raise EvalError(f"{self.url} serves {shown or 'no model'}, and not {model!r}.{hint} Write {self.url}#NAME")


def _kept(choice: Choice, mask: Callable[[str], str], source: str) -> _Kept:
    return _Kept(text=mask(choice.text), finished=choice.finished, logprobs=choice.logprobs, source=source)


def _numbered(whole: bytes, number: int) -> bytes:
    """The key of a sample of a question."""
    return hashlib.blake2b(whole, digest_size=16, key=number.to_bytes(4, "little")).digest() if number else whole
