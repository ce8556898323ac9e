"""A model with its chat format, as Python sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

import tunesmith as ts
from tests.api.conftest import CHATS
from tests.fake_server import serving
from tunesmith.ask.client import Client

BASE = "runs/quickstart/pretrain"


def test_the_loss_mask_of_a_conversation(place: Path) -> None:
    model = ts.load(BASE)
    pieces = model.pieces(model.encode(CHATS[0]))
    assert "".join(text for text, in_loss in pieces if in_loss) == "moo<|im_end|>"
    whole = "".join(text for text, _ in pieces)
    assert whole == "<|im_start|>user\nWhat sound has the cow 0?<|im_end|>\n<|im_start|>assistant\nmoo<|im_end|>\n"
    talk = [*CHATS[0], *CHATS[1]]
    both = [text for text, in_loss in model.pieces(model.encode(talk, "all")) if in_loss]
    assert "".join(both) == "moo<|im_end|>woof<|im_end|>"


def test_many_rows_and_those_that_are_too_long(place: Path) -> None:
    model = ts.load(BASE)
    found = model.encode_many(CHATS[:3])
    assert len(found) == 3 and not found.set_aside
    assert found[1].ids.tolist() == model.encode(CHATS[1]).ids.tolist()
    longest = int(found.lengths.max())
    assert len(model.encode_many(CHATS[:3], max_length=longest)) == 3
    short = model.encode_many(CHATS[:3], max_length=5)
    assert len(short) == 0 and len(short.set_aside) == 3 and "more than the 5" in short.set_aside[0].reason


def test_answers(place: Path) -> None:
    model = ts.load(BASE)
    one = model.generate(["Hi", CHATS[0], CHATS[0][:1]], max_new_tokens=4)
    assert [type(answer) for answer in one] == [ts.Completion] * 3
    assert all(0 < len(answer.ids) <= 4 for answer in one)
    assert one[1] == one[2]  # the given answer is no part of the question
    assert model.ask("Hi", max_new_tokens=4) == one[0].text
    drawn = [model.ask("Hi", max_new_tokens=8, temperature=5.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert model.net.config.vocab_size == len(model.chat.tok)


def test_what_cannot_be_asked(place: Path) -> None:
    model = ts.load(BASE)
    with pytest.raises(ts.DataError, match="Wanted a text or messages such as"):
        model.ask([{"rolle": "user"}])
    with pytest.raises(
        ts.EvalError, match="pretrain gave no answer to prompt 2 of 2: it is longer than the model can read"
    ):
        model.generate(["Hi", "moo " * 500])
    assert len(model.generate(["Hi"], max_new_tokens=2)) == 1  # an earlier long one does not count
    with pytest.raises(ts.RecipeError, match=r"There is no folder .*pretrian. Did you mean .*pretrain"):
        ts.load("runs/quickstart/pretrian")


def test_a_base_without_a_chat_format(place: Path) -> None:
    base = place / BASE / "model"
    tok = AutoTokenizer.from_pretrained(base)
    tok.chat_template = None
    (base / "chat_template.jinja").unlink(missing_ok=True)
    tok.save_pretrained(base)
    model = ts.load(BASE)
    assert model.note == "asked in plain text, without a chat format"
    assert isinstance(model.ask("Hi", max_new_tokens=2), str)
    with pytest.raises(ts.ChatError, match=r"has no chat format\. Give it one: load"):
        model.encode(CHATS[0])
    given = ts.load(BASE, chat="zephyr")  # its control tokens are new to the model
    assert given.net.get_input_embeddings().num_embeddings >= len(given.chat.tok)  # type: ignore[attr-defined]
    assert isinstance(given.ask("Hi", max_new_tokens=2), str)


def test_a_server_answers_and_has_no_weights_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "tries", 1)  # it is gone in the end, and not waited for
    here = ts.load(BASE)
    with serving(here.net, here.chat) as (url, _):
        model = ts.load(f"{url}#tiny")
        assert model.ask("Hi", max_new_tokens=4) == here.ask("Hi", max_new_tokens=4)
        with pytest.raises(ts.EvalError, match="behind a server; its weights are not here"):
            _ = model.net
        with pytest.raises(ts.ChatError, match="server's own chat format"):
            model.encode("Hi")
        with pytest.raises(ts.TrainError, match="only a model whose weights are here can be trained"):
            ts.fit(model, CHATS, "runs/x")
    with pytest.raises(ts.EvalError, match="gave no answer to prompt 1 of 1: "):
        model.ask("Hello")
