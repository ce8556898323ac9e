"""Whatever a reply holds, it is read as an answer of the right types or refused."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.hostile import Request, choice, hostile, http
from tunesmith.ask.reply import Unreadable, read_likely, read_models, read_said
from tunesmith.ask.respondent import Failed, Said
from tunesmith.ask.server import Server
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message

CHAT = {
    "id": "x",
    "model": "tiny",
    "system_fingerprint": "fp",
    "choices": [
        {**choice("one"), "logprobs": {"content": [{"token": "one", "logprob": -0.5, "top_logprobs": []}]}},
        {**choice("two", index=1), "logprobs": {"content": [{"token": "two", "logprob": -0.25}]}},
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}
PLAIN = {
    "choices": [{"index": 0, "text": "one", "finish_reason": "length", "logprobs": {"token_logprobs": [-0.5, -1]}}],
    "usage": None,
}
ECHO = {
    "choices": [
        {"index": 0, "text": "", "logprobs": {"token_logprobs": [None, -1, -2.5, -1]}},
        {"index": 1, "text": "", "logprobs": {"token_logprobs": [None, -1, -3, -0.5, -1]}},
    ]
}
LISTED = {"data": [{"id": "tiny", "root": "/m", "parent": None, "meta": {"n_params": 5}}, {"id": "other"}]}
SPANS = [(2, 3), (2, 4)]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 7, 1.5, -1e308, 10**30, float("nan"), float("inf"), float("-inf"), "", "x", "\ud800",
    "0", [], [None], [[]], {}, {"a": 1}, {"index": 0}, "stop", "error", ["x"] * 9,
]  # fmt: skip


def read_chat(data: bytes) -> None:
    reply = read_said(data, chat=True, most=2, logprobs=True)
    check_said(reply, 2)


def read_plain(data: bytes) -> None:
    check_said(read_said(data, chat=False, logprobs=True), 1)


def check_said(reply: Any, most: int) -> None:
    assert 1 <= len(reply.choices) <= most and isinstance(reply.served, str)
    assert 0 <= reply.usage.prompt_tokens < 1 << 50 and 0 <= reply.usage.completion_tokens < 1 << 50
    for one in reply.choices:
        assert type(one.text) is str and type(one.finished) is bool
        one.text.encode()  # no half characters
        assert all(type(x) is float and math.isfinite(x) and x <= 0 for x in one.logprobs)


def read_options(data: bytes) -> None:
    likely, usage = read_likely(data, SPANS)
    assert len(likely) == 2 and all(math.isfinite(x) and x <= 0 for x in likely)
    assert usage.prompt_tokens >= 0


def read_list(data: bytes) -> None:
    assert all(type(one.name) is str and one.name and type(one.fingerprint) is str for one in read_models(data))


READERS: list[tuple[Callable[[bytes], None], Any]] = [
    (read_chat, CHAT), (read_plain, PLAIN), (read_options, ECHO), (read_list, LISTED),
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    found = copy.deepcopy(value)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    if new is DELETED:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return found


DELETED = object()


def read(reader: Callable[[bytes], None], data: bytes) -> bool:
    try:
        reader(data)
    except Unreadable as error:
        assert str(error)
        return False
    return True


def test_what_is_right_is_read() -> None:
    for reader, good in READERS:
        assert read(reader, json.dumps(good).encode())
    assert read_likely(json.dumps(ECHO).encode(), SPANS)[0] == (-2.5, -3.5)
    reply = read_said(json.dumps(CHAT).encode(), chat=True, most=2, logprobs=True)
    assert [(c.text, c.finished, c.logprobs) for c in reply.choices] == [
        ("one", True, (-0.5,)),
        ("two", True, (-0.25,)),
    ]
    assert (reply.served, reply.usage.prompt_tokens) == ("tiny fp", 5)
    cut = read_said(json.dumps(PLAIN).encode(), chat=False)
    assert (cut.choices[0].text, cut.choices[0].finished) == ("one", False)


@pytest.mark.parametrize("number", range(len(READERS)))
def test_every_value_may_be_anything(number: int) -> None:
    reader, good = READERS[number]
    outcomes = set()
    for path in places(good):
        for new in [*ODD, *([DELETED] if path else [])]:
            outcomes.add(read(reader, json.dumps(changed(good, path, new)).encode()))
    assert outcomes == {True, False}


def mangled(data: bytes, draw: random.Random) -> bytes:
    """Bytes with some changed, taken out, or said twice."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, many = draw.randrange(len(out)), draw.randint(1, 30)
        match draw.randrange(4):
            case 0:
                out[at] = draw.randrange(256)
            case 1 if len(out) > 2 * many:
                del out[at : at + many]
            case 2:
                out[at:at] = out[at : at + many]
            case _:
                out[at:at] = draw.randbytes(many)
    return bytes(out)


def mangle_bodies(rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(rounds):
        reader, good = draw.choice(READERS)
        read(reader, mangled(json.dumps(good).encode(), draw))


def mangle_replies(rounds: int, seed: int) -> None:
    """Whole HTTP replies: each question is answered or fails, in time, and the next one is answered."""
    draw = random.Random(seed)
    good = http({"choices": [choice("said")]})

    def sends(request: Request) -> bytes:
        return mangled(good, random.Random(f"{seed} {request.body['messages'][0]['content']}"))

    questions = [Conversation((Message("user", f"{draw.random()}"),)) for _ in range(rounds)]
    with hostile(sends) as (url, _), suppress(EvalError):  # where the first eight are no HTTP
        for one in Server(url, tries=1, timeout=0.5, at_once=64).say(questions, limit=5):
            assert isinstance(one, Failed | Said)
            if isinstance(one, Failed):
                assert one.reason and "\n" not in one.reason and "\x1b" not in one.reason


def test_mangled_bodies() -> None:
    mangle_bodies(2000, 1)


def test_mangled_replies() -> None:
    mangle_replies(60, 1)


@pytest.mark.full
def test_very_many_mangled() -> None:
    mangle_bodies(300_000, 2)
    for seed in range(40):
        mangle_replies(200, seed)
