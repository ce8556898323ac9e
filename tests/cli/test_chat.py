"""A conversation: streamed answers, history, commands; the prompt is the encoder's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tunesmith.chat import ChatFormat
from tunesmith.cli.chat import Talk, open_talk
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Message
from tunesmith.models.generate import GREEDY, generate
from tunesmith.models.load import load_model, save_model

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.fixture
def talk(tok: PreTrainedTokenizerFast) -> Talk:
    fmt = ChatFormat.named("chatml", tok)
    return Talk(load_model({**CONFIG, "vocab_size": len(tok)}, seed=3), fmt, None, GREEDY, 12)


def test_an_answer_is_what_the_model_says_after_the_prompt(talk: Talk) -> None:
    for text in ("Hello there!", "And now?"):
        asked = [*talk.messages, Message("user", text)]
        prompt = talk.fmt.prompt(asked)
        expected = generate(talk.model, [prompt], stop_ids=talk.fmt.stop_ids, max_new_tokens=12)[0]
        said = "".join(talk.answer(text))
        assert said == talk.fmt.decode(np.array(expected.ids))
        assert talk.messages == [*asked, Message("assistant", said)]


def test_commands(talk: Talk) -> None:
    assert talk.command("/history") == "Nothing has been said."
    assert talk.command("/system Be brief.") == "System message set."
    list(talk.answer("Hi"))
    assert [m.role for m in talk.messages] == ["system", "user", "assistant"]
    assert "user: Hi" in (talk.command("/history") or "")
    assert talk.command("/reset") == "Forgotten."
    assert talk.messages == [Message("system", "Be brief.")]
    talk.command("/system")
    assert talk.messages == []
    assert "/reset" in (talk.command("/help") or "")
    assert talk.command("/rest") == "There is no /rest. Did you mean /reset?"
    assert talk.command("/quit") is None


def test_a_message_that_does_not_fit_is_refused_and_forgotten(talk: Talk) -> None:
    with pytest.raises(EvalError):
        list(talk.answer("word " * 400))
    assert talk.messages == []


def test_an_interrupted_answer_is_kept_as_far_as_it_came(talk: Talk) -> None:
    answer = talk.answer("Hi")
    first = next(answer)
    answer.close()
    assert talk.messages[-1].role == "assistant"
    assert talk.messages[-1].content.startswith(first)


def test_a_model_folder_is_opened_with_its_own_format(tmp_path: Path, talk: Talk) -> None:
    talk.fmt.tok.save_pretrained(tmp_path / "tok")
    save_model(talk.model, tmp_path / "model", tokenizer_dir=tmp_path / "tok", stop_ids=sorted(talk.fmt.stop_ids))
    opened = open_talk(tmp_path / "model", "Be brief.", GREEDY, 12)
    assert opened.messages == [Message("system", "Be brief.")]
    assert opened.fmt.stop_ids == talk.fmt.stop_ids
    assert "LlamaForCausalLM" in opened.described
