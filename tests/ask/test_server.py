"""A model behind a server answers as it does here, through whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.fake_server import serving
from tests.models.test_generate import sharp
from tunesmith.ask.cache import Cache
from tunesmith.ask.place import Place
from tunesmith.ask.respondent import Failed, Local, Said
from tunesmith.ask.server import Server
from tunesmith.chat import ChatFormat
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message
from tunesmith.evals.asking.ask import Failure, How, ask
from tunesmith.models.load import load_model


@pytest.fixture
def fmt(tok: PreTrainedTokenizerFast) -> ChatFormat:
    return ChatFormat.named("chatml", tok)


@pytest.fixture
def model(fmt: ChatFormat) -> PreTrainedModel:
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    return sharp(load_model({**shape, "vocab_size": len(fmt.tok), "num_attention_heads": 2}, seed=3))


def question(i: int, options: tuple[str, ...] = ()) -> Conversation:
    asked = (Message("system", "Be short."), Message("user", f"What is number {i}?"), Message("assistant", "fox"))
    return Conversation(asked, id=f"q{i}", answers=("fox",), options=options, task="t", template="t/a")


QUESTIONS = [question(i, ("fox", "the lazy dog", "巴黎")) for i in range(12)]
BARE = [Conversation(q.prompt, id=q.id) for q in QUESTIONS]


@pytest.mark.parametrize("ours", [False, True])
def test_the_same_answers_as_here(model: PreTrainedModel, fmt: ChatFormat, ours: bool) -> None:
    """In its own template, and with our tokens; then options are ranked, too."""
    with serving(model, fmt) as (url, behind):
        who = Server(url, fmt=fmt if ours else None, key="secret")
        there = ask(who, {"asked": QUESTIONS}, name="m", how=How(max_new_tokens=9))
        assert who.model == "tiny" and who.ranks == ours and behind.keys == {"Bearer secret"}
        assert who.used.requests == len(QUESTIONS) * (1 + ours) and who.used.read > 0 and who.used.tries == 0
        assert behind.most > 1, "requests run at once"
    here = ask(Local(model, fmt), {"asked": QUESTIONS}, name="m", how=How(max_new_tokens=9, rank=ours))
    assert len({r.answer for r in here}) > 3
    for a, b in zip(there, here, strict=True):
        assert (a.id, a.metric, a.answer, a.finished, a.value) == (b.id, b.metric, b.answer, b.finished, b.value)
        assert a.likely == pytest.approx(b.likely, abs=1e-4)


def test_what_passes_is_tried_again(fmt: ChatFormat) -> None:
    seen: Counter[str] = Counter()
    faults: list[Any] = [
        (429, {"Retry-After": "0.05"}, {"error": {"message": "slow down"}}),
        (503, {}, {"detail": "loading"}),
        (0, {}, None),
    ]

    def fault(path: str, body: dict[str, Any]) -> Any:
        text = str(body.get("messages"))
        seen[text] += 1
        return faults[seen[text] - 1] if path.endswith("completions") and seen[text] <= len(faults) else None

    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(min(seconds, 0.05))

    with serving(None, fmt, fault=fault) as (url, _):
        who = Server(url, wait=wait)
        assert who.say(BARE, limit=5) == [Said("said", True)] * len(BARE)
        assert who.used.tries == 3 * len(BARE) and "36 tried again" in str(who.used)
    assert any(0 < w <= 0.05 for w in waits), "the server's own wish is kept"
    ours = [w for w in waits if w > 0.06]
    assert len(ours) == 2 * len(BARE) and all(0.5 <= w <= 6 for w in ours), "pauses of our own grow"


def test_who_never_answers_ends_it(fmt: ChatFormat) -> None:
    with serving(None, fmt, fault=lambda path, _: (500, {}, {}) if "chat" in path else None) as (url, behind):
        said = Server(url, tries=3, wait=lambda _: asyncio.sleep(0)).say(BARE[:1], limit=5)
        assert said == [Failed("failed 3 times, at last: 500 {}")]
        assert len(behind.asked) == 1 + 3


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "401 bad key Set the key in OPENAI_API_KEY"),
        (404, "404 bad key"),
        (400, "m failed at 12 of 12 .*: 400 bad"),
    ],
)
def test_what_fails_for_good_is_not_tried_again(fmt: ChatFormat, status: int, said: str) -> None:
    with serving(None, fmt, fault=lambda p, _: (status, {}, {"error": "bad key"}) if "chat" in p else None) as (url, b):
        with pytest.raises(EvalError, match=said):
            ask(Server(url), {"asked": QUESTIONS}, name="m", how=How(max_new_tokens=5), failures=[])
        assert len(b.asked) <= 1 + len(BARE)


def test_a_failure_is_told_by_its_row_and_in_no_record(fmt: ChatFormat) -> None:
    def fault(path: str, body: dict[str, Any]) -> Any:
        return (400, {}, {"error": "too long for me"}) if "number 7" in str(body) else None

    with serving(None, fmt, fault=fault) as (url, _):
        failures: list[Failure] = []
        how = How(max_new_tokens=5)
        records = ask(Server(url), {"asked": QUESTIONS}, name="m", how=how, failures=failures)
        assert [r.id for r in records] == [q.id for q in QUESTIONS if q.id != "q7"]
        assert failures == [Failure("m", "asked", 0, "q7", "400 too long for me")]
        with pytest.raises(EvalError, match=r"m failed at 1 of 12 questions: 400 too long for me \(q7\)"):
            ask(Server(url), {"asked": QUESTIONS}, name="m", how=how)


def test_one_refused_question_is_told_and_the_others_are_kept(fmt: ChatFormat, tmp_path: Path) -> None:
    bad = True

    def fault(path: str, body: dict[str, Any]) -> Any:
        if bad and "number 7" in str(body):
            return 400, {}, {"error": {"message": "too long for me"}}
        return None

    with serving(None, fmt, fault=fault) as (url, behind):
        cache = Cache(tmp_path / "answers.sqlite")
        said = Server(url, cache=cache).say(BARE, limit=5)
        assert said == [Failed("400 too long for me") if i == 7 else Said("said", True) for i in range(12)]
        bad, before = False, len(behind.asked)
        who = Server(url, cache=cache)
        assert len(who.say(BARE, limit=5)) == 12
        assert len(behind.asked) - before == 2 and (who.used.known, who.used.requests) == (11, 1)
        anew = Server(url, cache=cache, again=True)
        anew.say(BARE, limit=5)
        assert (anew.used.known, anew.used.requests) == (0, 12)
        other = Server(url, cache=cache)
        other.say(BARE, limit=6)
        assert other.used.known == 0, "another limit is another question"


def test_hosted_models_that_think_want_another_name_of_the_limit(fmt: ChatFormat) -> None:
    def fault(path: str, body: dict[str, Any]) -> Any:
        if "max_tokens" in body:
            return 400, {}, {"error": {"message": "Use 'max_completion_tokens' instead."}}
        return None

    with serving(None, fmt, fault=fault) as (url, behind):
        assert len(Server(url).say(BARE, limit=5)) == len(BARE)
        assert all(body.get("max_completion_tokens") == 5 for _, body in behind.asked[-3:])


def test_names(fmt: ChatFormat) -> None:
    with serving(None, fmt, names=["llama", "qwen"]) as (url, _):
        assert Server(f"{url}/chat/completions", "qwen").model == "qwen"
        with pytest.raises(EvalError, match=r"serves llama, qwen, and not 'qwem'. Did you mean 'qwen'\?"):
            Server(url, "qwem")
        with pytest.raises(EvalError, match="serves llama, qwen, and not ''"):
            Server(url)
    with pytest.raises(EvalError, match=r"does not answer: .*Is the server running"):
        Server(url)
    with pytest.raises(EvalError, match="is no address"):
        Server("localhost:8000")
    assert Place.of("http://h/v1#a/b#tokenizer=c") == Place("http://h/v1", "a/b", "c")
    assert Place.of("http://h/v1#tokenizer=c#answers=d#key=K") == Place("http://h/v1", "", "c", "d", "K")
    with pytest.raises(EvalError, match=r"'tokeniser=c' is not known, or there twice. Did you mean #tokenizer="):
        Place.of("http://h/v1#a#tokeniser=c")
    with pytest.raises(EvalError, match="'b' is not known, or there twice"):
        Place.of("http://h/v1#a#b")


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_without_a_list_of_models_needs_a_name(fmt: ChatFormat, status: int) -> None:
    with serving(None, fmt, fault=lambda p, _: (status, {}, {}) if p.endswith("models") else None) as (url, _):
        assert Server(url, "mine").say(BARE[:1], limit=5) == [Said("said", True)]
        with pytest.raises(EvalError, match=r"has no list of models .* Write http.*#NAME"):
            Server(url)


def test_a_server_that_cannot_rank_is_told(fmt: ChatFormat, model: PreTrainedModel) -> None:
    def fault(path: str, body: dict[str, Any]) -> Any:
        return (200, {}, {"choices": [{"text": "x", "index": i} for i in range(3)]}) if body.get("echo") else None

    with serving(model, fmt, fault=fault) as (url, _):
        (said,) = Server(url, fmt=fmt).likely([Conversation(QUESTIONS[0].prompt, options=QUESTIONS[0].options)])
        assert isinstance(said, Failed) and "options cannot be ranked" in said.reason


def test_tools_and_prices(fmt: ChatFormat) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    with serving(None, fmt) as (url, behind):
        who = Server(url)
        who.say([Conversation(BARE[0].messages, tools=(tool,))], limit=3)
        assert behind.asked[-1][1]["tools"] == [tool]
        assert who.used.cost(2.0, 10.0) == pytest.approx((who.used.read * 2 + 30) / 1e6)
