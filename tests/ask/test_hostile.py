"""Servers that break the rules end nothing, are told in words, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import Request, answer, choice, drip, hostile, http
from tunesmith.ask import client as transport
from tunesmith.ask.cache import Cache
from tunesmith.ask.respondent import Draw, Failed, Said
from tunesmith.ask.safe import Mask, printable
from tunesmith.ask.server import Server
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message

KEY = "sk-very-secret-17"
OK = Said("said", True)


def question(i: int) -> Conversation:
    return Conversation((Message("user", f"What is number {i}?"),), id=f"q{i}")


QUESTIONS = [question(i) for i in range(12)]


async def hardly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.001))


def about(request: Request) -> str:
    """The text of the question."""
    return str(request.body["messages"][-1]["content"])


class Ids:
    """A format of two tokens for each prompt, and one for an option."""

    stop_ids = frozenset({2})

    def prompt(self, messages: Any) -> Any:
        import numpy as np

        return np.array([5, 6], np.int32)

    def encode(self, messages: Any) -> Any:
        import numpy as np

        from tunesmith.core.types import Encoded

        return Encoded(np.array([5, 6, 7], np.int32), np.array([False, False, True]))


# -- replies that are no answers ---------------------------------------------------------------------------------------

DEEP = b"[" * 200_000
BROKEN: dict[str, bytes] = {
    "choices_text": http({"choices": "abc"}),
    "choices_null": http({"choices": [None]}),
    "choices_empty": http({"choices": []}),
    "no_choices": http({}),
    "a_number": http(17),
    "deep": http(DEEP),
    "deep_inside": http(b'{"choices": ' + DEEP),
    "content_number": answer(42),
    "content_true": answer(True),
    "content_parts": answer([{"type": "text", "text": "x"}]),
    "content_object": answer({"text": "x"}),
    "content_missing": http({"choices": [{"index": 0, "message": {}}]}),
    "message_text": http({"choices": [{"index": 0, "message": "x"}]}),
    "half_a_character": http(b'{"choices": [{"index": 0, "message": {"content": "\\ud800"}}]}'),
    "not_utf8": http(b'{"choices": [{"index": 0, "message": {"content": "\xff"}}]}'),
    "not_json": http(b"<html>Bad gateway</html>"),
    "nothing": http(b""),
    "huge_number": http(b'{"choices": [{"index": ' + b"9" * 6000 + b', "message": {"content": "x"}}]}'),
    "index_7": http({"choices": [choice(index=7)]}),
    "index_text": http({"choices": [choice(index="0")]}),
    "two_choices": http({"choices": [choice(), choice(index=1)]}),
    "error_in_choice": http({"choices": [choice("", error={"code": 502, "message": "upstream"})]}),
    "ended_by_error": http({"choices": [choice("", finish_reason="error")]}),
    "filtered": http({"choices": [choice("", finish_reason="content_filter")]}),
    "error_beside": answer("", error={"message": "overloaded"}),
    "compressed": http(b"\x1f\x8b", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_reply_that_is_no_answer_is_told_and_never_kept(what: str, tmp_path: Path) -> None:
    broken = True

    def sends(request: Request) -> bytes:
        return BROKEN[what] if broken and "number 1?" in about(request) else answer()

    cache = Cache(tmp_path / "answers.sqlite")
    with hostile(sends) as (url, log):
        said = Server(url, key=KEY, cache=cache, wait=hardly).say(QUESTIONS[:3], limit=5)
        assert said[0] == said[2] == OK
        assert isinstance(said[1], Failed) and 10 < len(said[1].reason) <= 400 and "\n" not in said[1].reason
        broken, before = False, len(log.asked)
        assert Server(url, cache=cache, wait=hardly).say(QUESTIONS[:3], limit=5) == [OK] * 3
        assert len(log.asked) == before + 1, "the server is mended, and only what failed is asked again"


def test_what_is_odd_beside_an_answer_costs_nothing() -> None:
    odd: list[Any] = [
        {"usage": {"prompt_tokens": "abc", "completion_tokens": -5}},
        {"usage": [1]},
        {"usage": {"prompt_tokens": 10**30}},
        {"model": 5, "system_fingerprint": ["x"]},
        {"choices": [choice(logprobs="none")]},
        {"choices": [{**choice(), "index": None}]},
        {"choices": [choice(None, message={"content": None, "refusal": "said"})]},
    ]
    replies = iter(odd)
    with hostile(lambda request: http({"choices": [choice()], **next(replies)})) as (url, _):
        who = Server(url, at_once=1)
        assert who.say(QUESTIONS[: len(odd)], limit=5) == [OK] * len(odd)
        assert (who.used.read, who.used.written, who.used.requests) == (0, 0, len(odd))


NAN = float("nan")
LIKELIHOODS: dict[str, Any] = {
    "nan": [[None, -1, NAN, -1], [None, -1, -2, -1]],
    "infinite": [[None, -1, float("-inf"), -1], [None, -1, -2, -1]],
    "above_0": [[None, -1, 0.5, -1], [None, -1, -2, -1]],
    "text": [[None, -1, "-2", -1], [None, -1, -2, -1]],
    "none": [[None, -1, None, -1], [None, -1, -2, -1]],
    "short": [[None, -1], [None, -1, -2, -1]],
    "long": [[None, -1, -1, -2, -1], [None, -1, -2, -1]],
    "one_missing": [[None, -1, -2, -1]],
    "one_more": [[None, -1, -2, -1]] * 3,
}


def echoed(each: list[Any], indices: list[Any] | None = None) -> bytes:
    places = indices or list(range(len(each)))
    choices = [{"index": i, "text": "", "logprobs": {"token_logprobs": x}} for i, x in zip(places, each, strict=True)]
    return http({"choices": choices})


@pytest.mark.parametrize("what", [*LIKELIHOODS, "doubled", "gap", "no_index", "error"])
def test_likelihoods_that_are_none_are_refused(what: str, tmp_path: Path) -> None:
    good = [[None, -1, -2, -1], [None, -1, -3, -1]]
    reply = {
        "doubled": lambda: echoed(good, [1, 1]),
        "gap": lambda: echoed(good, [0, 2]),
        "no_index": lambda: echoed(good, [None, None]),
        "error": lambda: http({"choices": [{"index": 0, "error": "x"}, {"index": 1}]}),
    }.get(what, lambda: echoed(LIKELIHOODS[what]))()
    replies = [reply, echoed(good[::-1], [1, 0])]
    asked = [Conversation((Message("user", "x"),), options=("a", "b"))]
    cache = Cache(tmp_path / "answers.sqlite")
    with hostile(lambda request: replies.pop(0)) as (url, _):
        (first,) = Server(url, fmt=Ids(), cache=cache).likely(asked)  # type: ignore[arg-type]
        assert isinstance(first, Failed)
        assert Server(url, fmt=Ids(), cache=cache).likely(asked) == [(-2.0, -3.0)]  # type: ignore[arg-type]
        assert Server(url, fmt=Ids(), cache=cache).likely(asked) == [(-2.0, -3.0)], "kept"  # type: ignore[arg-type]


# -- time and size -----------------------------------------------------------------------------------------------------


def test_a_byte_now_and_then_does_not_hold_a_question_for_ever() -> None:
    def sends(request: Request) -> Any:
        return drip(answer(), 0.05) if "number 1?" in about(request) else answer()

    with hostile(sends) as (url, _):
        began = time.monotonic()
        said = Server(url, timeout=0.6, wait=hardly).say(QUESTIONS[:3], limit=5)
        assert time.monotonic() - began < 20
    assert said == [OK, Failed("no whole answer within 0.6 s"), OK]


def test_a_body_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MOST_BYTES", 1 << 20)
    sent = 0

    def endless() -> Any:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    with hostile(lambda request: endless() if "number 1?" in about(request) else answer()) as (url, _):
        said = Server(url, wait=hardly).say(QUESTIONS[:3], limit=5)
    assert said == [OK, Failed("a reply of more than 1 MB"), OK]
    assert sent < 64 << 20, "the connection is closed"


@pytest.mark.parametrize(
    ("text", "most"),
    [("100000000", 60), ("inf", 60), ("-inf", 0), ("-5", 0), ("1e999", 60), ("nan", None), ("soon", None), ("", None),
     ("3", 3), ("Fri, 31 Dec 9999 23:59:59 GMT", 60), ("Fri, 31 Dec 1999 23:59:59 GMT", 0)],
)  # fmt: skip
def test_a_server_cannot_ask_for_more_than_a_minute(text: str, most: float | None) -> None:
    assert transport._seconds(text) == most


def test_a_wish_to_wait_for_years_is_not_kept() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        who._client._not_before = 0.0

    replies = [http({}, "503 Busy", Retry_After="100000000"), answer()]
    with hostile(lambda request: replies.pop(0)) as (url, _):
        who = Server(url, wait=wait)
        assert who.say(QUESTIONS[:1], limit=5) == [OK]
    assert waits and max(waits) <= 60


@pytest.mark.parametrize(
    "reply",
    [b"", b"\x00\x01 hello\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 20_000 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", b"HTTP/9.9 999 \r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_tried_again_and_told(reply: bytes) -> None:
    with hostile(lambda request: reply if "number 1?" in about(request) else answer()) as (url, log):
        said = Server(url, tries=2, wait=hardly, timeout=20).say(QUESTIONS[:3], limit=5)
        assert said[0] == said[2] == OK
        assert isinstance(said[1], Failed) and "failed 2 times" in said[1].reason
        assert len(log.asked) == 4


# -- the key and the terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_redirected_and_the_key_stays(status: int) -> None:
    with hostile(lambda request: answer("the stranger's")) as (elsewhere, stranger):

        def sends(request: Request) -> bytes:
            to = f"{elsewhere}/chat/completions"
            return http({}, f"{status} Go", Location=to) if "number 1?" in about(request) else answer()

        with hostile(sends) as (url, _):
            said = Server(url, key=KEY, wait=hardly).say(QUESTIONS[:3], limit=5)
    assert stranger.requests == []
    assert isinstance(said[1], Failed) and "redirects to http://127.0.0.1" in said[1].reason
    assert said[0] == said[2] == OK


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "500 Oops", "302 Go"])
def test_a_key_that_is_sent_back_is_shown_nowhere(status: str) -> None:
    def sends(request: Request) -> bytes:
        sent = request.headers["authorization"]
        escaped = "".join(f"\\u{ord(c):04x}" for c in sent)
        return http(f'{{"error": "you sent {escaped}"}}'.encode(), status, Location=f"http://x/?key={sent}")

    with hostile(sends, models=http({"data": [{"id": KEY}, {"id": "b"}]})) as (url, _):
        with pytest.raises(EvalError) as error:
            Server(url, key=KEY)
        assert KEY not in str(error.value)
        (said,) = Server(url, "b", key=KEY, tries=2, wait=hardly).say(QUESTIONS[:1], limit=5)
        assert isinstance(said, Failed) and KEY not in said.reason and "***" in said.reason


@pytest.mark.parametrize("at", [0, 150, 190, 290, 380, 3990, 4000])
def test_no_part_of_a_key_is_left_where_a_text_is_cut(at: int, tmp_path: Path) -> None:
    """Wherever it stands, also behind spaces that are taken out."""
    begin = KEY[:8]

    def sends(request: Request) -> bytes:
        fill, kind = [" ", "x"][request.body["max_tokens"] % 2] * (at - request.body["max_tokens"]), about(request)
        text = f"{fill}{KEY} and more {'y' * 9000}"
        if "number 0?" in kind:
            return http(text.encode(), "400 Bad")
        if "number 1?" in kind:
            return http(text.encode())
        if "number 2?" in kind:
            return http({"choices": [choice("", error=text)]})
        if "number 3?" in kind:
            return http({"error": text}, "500 Oops")
        if "number 4?" in kind:
            return http({"choices": [choice("", finish_reason=text)]})
        return answer(model=text, system_fingerprint=text)

    with hostile(sends) as (url, _):
        who = Server(url, key=KEY, tries=1, cache=Cache(tmp_path / "answers.sqlite"))
        for limit in range(1, 26):
            for one in who.say(QUESTIONS[:6], limit=limit):
                assert one == OK or (isinstance(one, Failed) and begin not in one.reason)
    assert all(begin.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_in_an_answer_is_not_kept(tmp_path: Path) -> None:
    def sends(request: Request) -> bytes:
        return answer(f"It is {request.headers['authorization']}.", model=KEY, system_fingerprint=KEY)

    with hostile(sends) as (url, _):
        cache = Cache(tmp_path / "answers.sqlite")
        assert Server(url, key=KEY, cache=cache).say(QUESTIONS[:1], limit=5) == [Said("It is Bearer ***.", True)]
        assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.iterdir())
        # EMPTY stands for no key; it is also a word that an answer may hold.
        assert Server(url, key="EMPTY").say(QUESTIONS[:1], limit=5) == [Said("It is ***.", True)]
    assert Mask("EMPTY").answer("The list is EMPTY.") == "The list is EMPTY."
    assert Mask("EMPTY")("bad key EMPTY") == "bad key ***"
    assert Mask("a/b-secret")("x a%2Fb-secret y YS9iLXNlY3JldA== z") == "x *** y *** z"
    assert Mask(KEY).answer(f"a \x1b[1m{KEY[:5]}\x1b[0m{KEY[5:]} b") == "a *** b"
    assert Mask(KEY).answer("\x1b[1mas it was") == "\x1b[1mas it was"
    assert Mask("")("nothing") == Mask("").answer("nothing") == "nothing"


@pytest.mark.parametrize(
    ("text", "plain"),
    [("\x1b[31mred\x1b[0m", "red"), ("\x1b]0;title\x07x", "x"), ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
     ("\x1b[2J\x1b[H", ""), ("a\rb\x08c\x00", "abc"), ("\x9b31mred", "red"), ("\x1bPq#0\x1b\\x", "x"),
     ("one\n\ttwo\r\n三 🎉", "one\n\ttwo\n三 🎉"), ("abc\u202etxt.exe", "abctxt.exe"),
     ("\x1b(0x\x1bcy", "xy"), ("\x1b", "")],
)  # fmt: skip
def test_terminal_escapes_are_taken_out(text: str, plain: str) -> None:
    assert printable(text) == plain


def test_an_error_of_a_server_cannot_paint_the_terminal() -> None:
    with hostile(lambda request: http({"error": "\x1b[2J\x1b]0;x\x07 bad\n news"}, "400 Bad")) as (url, _):
        assert Server(url).say(QUESTIONS[:1], limit=5) == [Failed("400 bad news")]


@pytest.mark.parametrize("url", ["http://me:pw@h/v1", "http://tok@h/v1", "https://h/v1?key=x", "http://h /v1", "http://",
                                 "http://h:99999/v1", "http://h\x1b[31m/v1", "ftp://h"])  # fmt: skip
def test_an_address_holds_no_password(url: str) -> None:
    with pytest.raises(EvalError) as error:
        Server(url)
    assert "pw" not in str(error.value) and "tok" not in str(error.value) and "\x1b" not in str(error.value)


@pytest.mark.parametrize("listed", [b"17", b'"abc"', b"[1, 2]", b'{"data": 3}', b'{"data": [3]}', b'{"data": [{}]}',
                                    b'{"data": [{"id": 5}]}', DEEP, b"\xff\xfe"])  # fmt: skip
def test_a_list_of_models_may_be_anything(listed: bytes) -> None:
    with hostile(lambda request: answer(), models=http(listed)) as (url, _):
        assert Server(url, "mine").say(QUESTIONS[:1], limit=5) == [OK]
        with pytest.raises(EvalError, match=r"has no list of models .* Write http.*#NAME"):
            Server(url)


# -- one failing question ends nothing ---------------------------------------------------------------------------------


def test_a_wrong_key_is_not_tried_with_every_question() -> None:
    with hostile(lambda request: http({"error": "bad key"}, "401 No")) as (url, log):
        with pytest.raises(EvalError, match=r"answers no question: 401 bad key Set the key in OPENAI_API_KEY"):
            Server(url, at_once=2).say([question(i) for i in range(500)], limit=5)
        assert len(log.asked) < 20


@pytest.mark.parametrize("status", ["400 x", "401 x", "403 x", "404 x", "413 x", "422 x", "500 x", "302 x"])
def test_one_that_fails_ends_nothing(status: str) -> None:
    with hostile(lambda r: http({}, status) if "number 0?" in about(r) else answer()) as (url, _):
        said = Server(url, tries=2, wait=hardly, at_once=1).say(QUESTIONS, limit=5)
        assert isinstance(said[0], Failed) and said[1:] == [OK] * 11


def test_a_server_that_dies_on_the_way_costs_only_what_was_not_answered(tmp_path: Path) -> None:
    alive = 20

    def sends(request: Request) -> bytes:
        nonlocal alive
        alive -= 1
        return answer() if alive >= 0 else b""

    many = [question(i) for i in range(100)]
    cache = Cache(tmp_path / "answers.sqlite")
    with hostile(sends) as (url, log):
        said = Server(url, cache=cache, tries=2, wait=hardly, at_once=2).say(many, limit=5)
        assert said.count(OK) == 20 and len(log.asked) < 60, "the others are not all tried"
        assert any(isinstance(one, Failed) and "not asked, since" in one.reason for one in said)
        alive = 1000
        who = Server(url, cache=cache)
        assert who.say(many, limit=5) == [OK] * 100 and (who.used.known, who.used.requests) == (20, 80)


# -- kept, and asked as often as wanted --------------------------------------------------------------------------------

KILLED = """
import signal
import sys
from tests.ask.test_hostile import question
from tunesmith.ask.cache import Cache
from tunesmith.ask.server import Server

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
Server(sys.argv[1], cache=Cache(sys.argv[2]), at_once=4).say([question(i) for i in range(32)], limit=5)
"""


def test_every_answer_survives_kill_9(tmp_path: Path) -> None:
    """31 of 32 are answered, the last hangs; then the process is killed."""

    def hang() -> Any:
        yield b"HTTP/1.1 200 OK\r\n"
        time.sleep(30)

    path = tmp_path / "answers.sqlite"
    with hostile(lambda request: hang() if "number 31?" in about(request) else answer()) as (url, log):
        root = Path(__file__).parents[2]
        env = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
        process = subprocess.Popen([sys.executable, "-c", KILLED, url, str(path)], env=env, cwd=root)
        try:
            until(lambda: len(log.asked) == 32)
            # All others were asked before it; the last of them may still be on its way.
            until(lambda: known(path) >= 31, seconds=10)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        who = Server(url, cache=Cache(path), timeout=1, wait=hardly)
        said = who.say([question(i) for i in range(32)], limit=5)
        assert said[:31] == [OK] * 31 and (who.used.known, who.used.requests) == (31, 0)


def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """Also where the server is silent and many questions wait for it."""

    def hang() -> Any:
        yield b"HTTP/1.1 200 OK\r\n"
        time.sleep(60)

    with hostile(lambda request: hang()) as (url, log):
        root = Path(__file__).parents[2]
        env = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, str(tmp_path / "a.sqlite")],
            env=env,
            cwd=root,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: len(log.asked) == 4)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) != 0
        finally:
            process.kill()
            process.wait()


def known(path: Path) -> int:
    import sqlite3

    file = sqlite3.connect(path, timeout=10)
    try:
        return int(file.execute("SELECT count(*) FROM answers").fetchone()[0])
    finally:
        file.close()


def until(seen: Callable[[], bool], seconds: float = 60) -> None:
    over = time.monotonic() + seconds
    while not seen() and time.monotonic() < over:
        time.sleep(0.02)
    assert seen()


def counting(request: Request) -> bytes:
    """As many choices as are asked for, each with a text of its own."""
    n = request.body.get("n", 1)
    seed = request.body.get("seed", 0)
    return http({"choices": [choice(f"{seed}.{i}", index=i) for i in reversed(range(n))]})


def single(request: Request) -> bytes:
    """One choice, whatever is asked for."""
    return http({"choices": [choice(str(request.body.get("seed", 0)))]})


def strict(request: Request) -> bytes:
    """Refuses to give several."""
    return http({"error": "n must be 1"}, "400 Bad") if "n" in request.body else single(request)


@pytest.mark.parametrize(("sends", "requests"), [(counting, 3), (single, None), (strict, None)])
def test_samples(sends: Any, requests: int | None, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite")
    with hostile(sends) as (url, log):
        draw = Draw(0.8, top_p=0.9, seed=3)
        said = Server(url, cache=cache, at_once=1).say([QUESTIONS[0]] * 20, limit=5, draw=draw)
        texts = [one.text for one in said if isinstance(one, Said)]
        assert len(texts) == len(set(texts)) == 20
        assert requests is None or len(log.asked) == requests
        assert all((b["temperature"], b["top_p"]) == (0.8, 0.9) and 0 <= b["seed"] < 2**31 for b in log.asked)
        before = len(log.asked)
        who = Server(url, cache=cache, at_once=1)
        assert who.say([QUESTIONS[0]] * 20, limit=5, draw=draw) == said and who.used.known == 20
        assert len(log.asked) == before, "kept one by one"
        more = who.say([QUESTIONS[1], *[QUESTIONS[0]] * 23], limit=5, draw=draw)
        assert more[1:21] == said, "the n-th answer is the same, whatever else is asked"
        other = Server(url, cache=cache).say([QUESTIONS[0]] * 3, limit=5, draw=Draw(0.8, top_p=0.9, seed=4))
        assert not {one.text for one in other if isinstance(one, Said)} & set(texts)


def test_equal_questions_without_chance_are_asked_once() -> None:
    with hostile(counting) as (url, log):
        assert len(set(Server(url).say([QUESTIONS[0]] * 20, limit=5))) == 1
        assert len(log.asked) == 1 and "seed" not in log.asked[0] and "n" not in log.asked[0]


def test_stop_texts_and_log_probabilities() -> None:
    told = {"content": [{"token": "sa", "logprob": -0.5}, {"token": "id", "logprob": -0.25}]}
    with hostile(lambda request: http({"choices": [choice(logprobs=told)]})) as (url, log):
        said = Server(url).say(QUESTIONS[:1], limit=5, draw=Draw(stop=("\n", "END"), logprobs=True))
        assert said == [Said("said", True, logprobs=(-0.5, -0.25))]
        assert log.asked[0]["stop"] == ["\n", "END"] and log.asked[0]["logprobs"] is True
    with hostile(lambda request: answer()) as (url, _):
        (one,) = Server(url).say(QUESTIONS[:1], limit=5, draw=Draw(logprobs=True))
        assert isinstance(one, Failed) and "log-probabilities" in one.reason


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": NAN}, {"temperature": float("inf")}, {"temperature": -1}, {"top_p": NAN}, {"top_p": 0},
     {"top_p": 1.1}, {"seed": -1}, {"seed": 10**24}, {"seed": 1.5}, {"seed": True}, {"stop": "END"}, {"stop": ("",)}],
)  # fmt: skip
def test_a_draw_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EvalError, match="wanted"):
        Draw(**wrong)


def test_connections_are_kept() -> None:
    with hostile(lambda request: answer()) as (url, log):
        Server(url, at_once=4).say([question(i) for i in range(200)], limit=5)
        assert log.connections <= 1 + 4 and len(log.asked) == 200


# -- whose answers they are --------------------------------------------------------------------------------------------


def test_an_answer_is_found_at_another_address_and_told(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite")
    with hostile(lambda request: answer("a")) as (first, _):
        Server(first, cache=cache).say(QUESTIONS, limit=5)
    with hostile(lambda request: answer("b")) as (second, log):
        who = Server(second, cache=cache)
        assert who.say(QUESTIONS, limit=5) == [Said("a", True)] * 12 and not log.asked
        assert f"12 known before (12 of them from {first})" in str(who.used)
        own = Server(second, cache=cache, answers="mine")
        assert own.say(QUESTIONS, limit=5) == [Said("b", True)] * 12 and own.used.known == 0
        assert own.identity != who.identity


def test_what_a_server_tells_of_its_weights_keeps_answers_apart(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite")
    seen = []
    for root, made in (("/models/a", 1), ("/models/b", 2), ("/models/a", 3)):
        models = http({"data": [{"id": "tiny", "root": root, "created": made, "permission": [{"id": f"p{made}"}]}]})
        with hostile(lambda request, made=made: answer(str(made)), models=models) as (url, _):
            (said,) = Server(url, cache=cache).say(QUESTIONS[:1], limit=5)
            seen.append(said.text if isinstance(said, Said) else "")
    assert seen == ["1", "2", "1"]


def test_a_damaged_cache_is_asked_again(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "answers.sqlite"
    with hostile(lambda request: answer()) as (url, log):
        Server(url, cache=Cache(path)).say(QUESTIONS, limit=5)
        file = sqlite3.connect(path)
        keys = [row[0] for row in file.execute("SELECT key FROM answers")]
        bad = ["", "{", "17", "null", '{"text": 5}', json.dumps([1]), '{"text": "x"}', "[" * 100_000, b"\xff", None]
        for key, value in zip(keys, bad, strict=False):
            file.execute("UPDATE answers SET value = ? WHERE key = ?", (value, key))
        file.commit()
        file.close()
        before = len(log.asked)
        who = Server(url, cache=Cache(path))
        assert who.say(QUESTIONS, limit=5) == [OK] * 12
        assert len(log.asked) - before == len(bad) and who.used.known == 12 - len(bad)


def test_inside_a_running_loop() -> None:
    async def notebook() -> Any:
        return Server(url).say(QUESTIONS, limit=5)

    with hostile(lambda request: answer()) as (url, _):
        assert asyncio.run(notebook()) == [OK] * 12


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(lambda request: answer("through")) as (url, log):
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        said = Server("http://far.example/v1", "tiny").say(QUESTIONS[:1], limit=5)
        assert said == [Said("through", True)]
        assert log.requests[-1].line.startswith("POST http://far.example/v1/chat/completions ")
