"""What pads is set everywhere, and is never what ends an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from tests.conftest import CORPUS
from tunesmith.chat import ChatFormat, train_bpe
from tunesmith.models.load import load_config, load_model, save_model
from tunesmith.models.padding import padding
from tunesmith.models.tokenizer import load_tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}


def a_tokenizer(*specials: str, eos: str = "<|end|>", **named: str) -> PreTrainedTokenizerFast:
    tok = train_bpe(CORPUS, 400, specials=["<|end|>", *specials], eos=eos)
    for name, text in named.items():
        setattr(tok, name, text)
    return tok


def a_model(rows: int = 420, **fields: Any) -> Any:
    return load_model({"model_type": "llama", "vocab_size": rows, **SIZES, **fields}, seed=1)


@pytest.mark.parametrize(
    ("tok", "fields", "stops", "wanted"),
    [
        (a_tokenizer("<pad>", pad_token="<pad>"), {}, [0], "<pad>"),
        (a_tokenizer("<|pad_right|>"), {}, [0], "<|pad_right|>"),
        (a_tokenizer("<a>", "<|fim_pad|>", pad_token="<a>"), {}, [0, 1], "<|fim_pad|>"),  # its own is an end
        (a_tokenizer("<pad>", pad_token="<|end|>"), {}, [0], "<pad>"),
        (a_tokenizer("<a>", "<b>"), {"pad_token_id": 2}, [0], "<b>"),  # the model's own
        (a_tokenizer("<a>", "<b>"), {"pad_token_id": 0}, [0], "<a>"),
        (a_tokenizer("<s>", "<|reserved_7|>", bos_token="<s>"), {}, [0], "<|reserved_7|>"),
        (a_tokenizer("<s>", "<unk>", bos_token="<s>", unk_token="<unk>"), {}, [0], "<unk>"),
        (a_tokenizer("<a>", "<s>", bos_token="<s>"), {}, [0], "<s>"),
        (a_tokenizer("<x>", "<a>"), {"eos_token_id": [1, 0]}, [], "<a>"),  # what the base ends with
        (a_tokenizer(), {}, [0], None),
        (a_tokenizer("<s>", bos_token="<s>"), {}, [0, 1], None),
    ],
)
def test_which_token_pads(tok: Any, fields: dict[str, Any], stops: list[int], wanted: str | None) -> None:
    model = a_model(**{"eos_token_id": None, "bos_token_id": None, "pad_token_id": None, **fields})
    found = padding(tok, model, stops)
    assert (None if found is None else tok.convert_ids_to_tokens(found)) == wanted


def test_a_token_without_a_row_does_not_pad() -> None:
    tok = a_tokenizer("<a>")
    tok.add_special_tokens({"pad_token": "<pad>"})
    model = a_model(rows=len(tok) - 1, eos_token_id=None, bos_token_id=None)
    assert tok.convert_ids_to_tokens(padding(tok, model, [0])) == "<a>"


@pytest.mark.parametrize("chat", ["chatml", "zephyr", "tulu"])
def test_a_saved_model_says_what_pads(chat: str, tmp_path: Path) -> None:
    tok = train_bpe(CORPUS, 400)
    tok.pad_token = tok.eos_token  # as many bases have it
    fmt = ChatFormat.named(chat, tok)
    fmt.tok.save_pretrained(tmp_path / "tokenizer")
    model = a_model(pad_token_id=0, eos_token_id=0)
    folder = save_model(model, tmp_path / "model", tokenizer_dir=tmp_path / "tokenizer", stop_ids=fmt.stop_ids)  # type: ignore[arg-type]
    saved = load_tokenizer(folder)
    said = {
        saved.pad_token_id,
        load_config(folder).pad_token_id,
        GenerationConfig.from_pretrained(folder).pad_token_id,
    }
    assert len(said) == 1 and said.isdisjoint(fmt.stop_ids) and said.isdisjoint({0, saved.eos_token_id})
    if chat == "chatml":
        assert saved.pad_token == "<|im_start|>"
    was, is_ = (json.loads((f / "tokenizer.json").read_text()) for f in (tmp_path / "tokenizer", folder))
    assert was == is_ and saved.chat_template == fmt.tok.chat_template


def test_an_answers_first_token_stays_where_it_was_padding(tmp_path: Path) -> None:
    t5 = {"model_type": "t5", "vocab_size": 420, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
    model = load_model({**t5, "pad_token_id": 0, "eos_token_id": 0}, seed=1)
    fmt = ChatFormat.named("pair", a_tokenizer("<a>"))
    fmt.tok.save_pretrained(tmp_path / "tokenizer")
    folder = save_model(model, tmp_path / "model", tokenizer_dir=tmp_path / "tokenizer", stop_ids=[0])
    assert GenerationConfig.from_pretrained(folder).decoder_start_token_id == 0
    assert GenerationConfig.from_pretrained(folder).pad_token_id == 1


def test_the_row_of_what_pads_learns(tmp_path: Path) -> None:
    """Torch freezes it, and many a base pads with a token that means something."""
    made = a_model(rows=61, pad_token_id=5)
    for model in (made, load_model(save_model(made, tmp_path / "model"))):
        model(input_ids=torch.tensor([[5, 7, 5]])).logits.sum().backward()
        rows = model.get_input_embeddings().weight.grad.abs().sum(1)  # type: ignore[union-attr, operator]
        assert rows[5] > 0 and rows[7] > 0
