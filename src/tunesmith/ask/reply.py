"""What a server's reply must look like to count as an answer. Nothing is kept before it was read here.

    read_said(data)                    [Choice(text, finished, logprobs), ...] of free answers
    read_likely(data, spans)           the log-likelihood of each option
    read_models(data)                  the models that are served

A reply that is anything else raises ``Unreadable`` with the reason: another shape or type, an error inside a choice,
an index that is doubled or missing, a log-likelihood that is above 0 or no number. pydantic reads the bytes, so deep
nesting and broken UTF-8 are errors too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tunesmith.ask.safe import beginning

M = TypeVar("M", bound=BaseModel)
_ENDED = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"})
"""Reasons to finish that mean: the model stopped by itself."""
_CUT = frozenset({"length", "max_tokens"})
_ROUNDING = 1e-3
"""How far above 0 a log-likelihood may come out by rounding."""


class Unreadable(Exception):
    """A reply that is no answer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One free answer."""

    text: str
    finished: bool
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a server serves."""

    name: str
    fingerprint: str
    """A digest of what the server says of its weights; "" where it says nothing. Two servers of the same weights are to
    have the same, so ids of permissions and times are no part of it."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def _count(value: Any) -> Any:
    """A number of tokens; what cannot be one counts as none, since no answer should fail for it."""
    return value if type(value) is int and 0 <= value < 1 << 50 else 0


_Count = Annotated[int, BeforeValidator(_count)]


class Usage(_Part):
    """Tokens, as the server counts them."""

    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


def _usage(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


class _Message(_Part):
    content: str | None = None
    refusal: Any = None


class _Token(_Part):
    logprob: float


class _Logprobs(_Part):
    content: list[_Token] | None = None
    token_logprobs: list[float | None] | None = None


class _Choice(_Part):
    index: int | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    """Looked at where it is wanted."""
    error: Any = None


class _Reply(_Part):
    choices: list[_Choice] = Field(min_length=1)
    usage: Annotated[Usage, BeforeValidator(_usage)] = Usage()
    model: Any = None
    system_fingerprint: Any = None
    error: Any = None


class _Models(_Part):
    data: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of a reply, and what it says of itself."""

    choices: tuple[Choice, ...]
    usage: Usage
    served: str
    """The name and fingerprint that the server answers under; a name such as gpt-4o means other weights with time."""


def read_said(data: bytes, *, chat: bool, most: int = 1, logprobs: bool = False) -> Reply:
    """Free answers to one question, ``most`` of them or fewer, in the order of their indices."""
    reply = _answered(data)
    if len(reply.choices) > most:
        raise Unreadable(f"{len(reply.choices)} choices, and {most} were asked for")
    found = tuple(_said(choice, chat, logprobs) for choice in _ordered(reply.choices))
    return Reply(found, reply.usage, _served(reply))


def _said(choice: _Choice, chat: bool, logprobs: bool) -> Choice:
    ended = choice.finish_reason
    if ended is not None and ended not in _ENDED | _CUT:
        raise Unreadable(f"the answer ended for the reason {ended!r}")
    if chat and choice.message is None:
        raise Unreadable("a choice without a message")
    text = choice.text
    if choice.message is not None and chat:
        refused = choice.message.refusal
        text = choice.message.content or (refused if isinstance(refused, str) else None)
    if text is None and (not chat or ended is None):
        raise Unreadable("a choice without a text")
    each: tuple[float, ...] = ()
    if logprobs:
        given = _logprobs(choice)
        listed = [token.logprob for token in given.content or ()] if chat else given.token_logprobs or ()
        if text and not listed:
            raise Unreadable("no log-probabilities, which were asked for")
        each = tuple(_logprob(x) for x in listed)
    return Choice(text or "", ended in _ENDED, each)


def _logprobs(choice: _Choice) -> _Logprobs:
    try:
        return _Logprobs.model_validate(choice.logprobs or {})
    except ValidationError as error:
        raise Unreadable(f"log-probabilities that are none ({_first(error)})") from None


def read_likely(data: bytes, spans: Sequence[tuple[int, int]]) -> tuple[tuple[float, ...], Usage]:
    """The log-likelihood of each option. ``spans`` says at which tokens of its prompt each option stands."""
    reply = _answered(data)
    choices = _ordered(reply.choices)
    if len(choices) != len(spans):
        raise Unreadable(f"{len(choices)} choices for {len(spans)} options")
    found = []
    for choice, (start, end) in zip(choices, spans, strict=True):
        each = _logprobs(choice).token_logprobs
        if each is None or len(each) < end or any(x is None for x in each[start:end]):
            raise Unreadable(
                "no log-likelihoods of a prompt's tokens (`echo` with `logprobs`), which vLLM gives, so options cannot "
                "be ranked. Ask without: rank: false in the suite"
            )
        if len(each) > end + 1:  # one token is said behind the prompt
            raise Unreadable(f"log-likelihoods of {len(each) - 1} tokens for a prompt of {end}: it has other tokens")
        found.append(sum(_logprob(x) for x in each[start:end]))
    return tuple(found), reply.usage


def read_models(data: bytes) -> list[Model]:
    """The models that a server lists."""
    entries = _read(_Models, data).data
    found = []
    for entry in entries:
        name = entry.get("id")
        if not isinstance(name, str) or not name:
            raise Unreadable("a model without a name")
        told = {key: entry[key] for key in ("root", "parent", "meta") if entry.get(key) is not None}
        text = json.dumps(told, sort_keys=True)
        found.append(Model(name, hashlib.blake2b(text.encode(), digest_size=8).hexdigest() if told else ""))
    return found


def _answered(data: bytes) -> _Reply:
    reply = _read(_Reply, data)
    if reply.error is not None:
        raise Unreadable(f"an error in the reply: {reply.error}")
    return reply


def _read(kind: type[M], data: bytes) -> M:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise Unreadable(f"no answer in the reply ({_first(error)}): {beginning(data)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _ordered(choices: Sequence[_Choice]) -> list[_Choice]:
    """Choices by their index; one alone may do without it."""
    for choice in choices:
        if choice.error is not None:
            raise Unreadable(f"an error in a choice: {choice.error}")
    if len(choices) == 1 and choices[0].index in (None, 0):
        return list(choices)
    found = {choice.index: choice for choice in choices}
    if found.keys() != set(range(len(choices))):
        indices = ", ".join(str(choice.index) for choice in choices[:20])
        raise Unreadable(f"{len(choices)} choices with the indices {indices}; wanted each from 0 once")
    return [found[i] for i in range(len(choices))]


def _logprob(value: float | None) -> float:
    if value is None or value > _ROUNDING:
        raise Unreadable(f"a log-probability of {value}; wanted a number that is 0 or less")
    return min(0.0, value)


def _served(reply: _Reply) -> str:
    parts = (reply.model, reply.system_fingerprint)
    return " ".join(part for part in parts if isinstance(part, str))
