"""Base models are asked in plain text."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from tests.models.test_generate import sharp
from tunesmith.ask.plain import Plain
from tunesmith.ask.respondent import Local
from tunesmith.core.types import Conversation, Message
from tunesmith.models.load import load_model

SHOWN = (Message("user", "What is the capital of France?"), Message("assistant", "Paris"))
QUESTION = Conversation((*SHOWN, Message("user", "Say it in three words.")), options=("the lazy dog", "巴黎"))


def test_question_and_answer_token_by_token(tok: PreTrainedTokenizerFast) -> None:
    fmt = Plain(tok)
    prompt = fmt.prompt(QUESTION)
    assert tok.decode(prompt) == "What is the capital of France?\nParis\n\nSay it in three words.\n"
    whole = fmt.encode(Conversation((*QUESTION.messages, Message("assistant", "the lazy dog"))))
    assert whole.ids[~whole.learn].tolist() == prompt.tolist()
    assert tok.decode(whole.ids[whole.learn]) == "the lazy dog\n"
    assert whole.ids[-1] in fmt.stop_ids and tok.eos_token_id in fmt.stop_ids
    letters = {i for i in range(len(tok)) if tok.decode([i]).startswith("\n")}
    assert letters <= fmt.stop_ids and len(fmt.stop_ids) < 20


@pytest.mark.parametrize("bos", [None, "<|end|>"])
def test_an_answer_ends_with_its_line(tok: PreTrainedTokenizerFast, bos: str | None) -> None:
    tok.bos_token = bos
    fmt = Plain(tok)
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    model = sharp(load_model({**shape, "vocab_size": len(tok), "num_attention_heads": 2}, seed=3))
    who = Local(model, fmt)
    questions = [Conversation((Message("user", f"What is number {i}?"),), options=QUESTION.options) for i in range(30)]
    said = who.say(questions, limit=60)
    assert all("\n" not in one.text.strip("\n") or not one.finished for one in said)
    assert any(one.finished for one in said)
    assert (fmt.prompt(questions[0])[0] == tok.bos_token_id) == (bos is not None)
    assert all(len(scores) == 2 and max(scores) < 0 for scores in who.likely(questions))
