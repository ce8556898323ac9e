"""A tiny base model and some chats to try the Python API on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tunesmith.chat import ChatFormat

CHATS = [
    [
        {"role": "user", "content": f"What sound has the {animal} {n}?"},
        {"role": "assistant", "content": sound},
    ]
    for n in range(10)
    for animal, sound in (("cow", "moo"), ("dog", "woof"), ("cat", "meow"))
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tok: PreTrainedTokenizerFast) -> Path:
    """A folder to work in, with a base model where the quickstart leaves one, and a file of chats."""
    base = tmp_path / "runs" / "quickstart" / "pretrain" / "model"
    words = ChatFormat.named("chatml", tok).tok
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=256, **sizes)
    LlamaForCausalLM(config).save_pretrained(base)
    words.save_pretrained(base)
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in CHATS))
    monkeypatch.chdir(tmp_path)
    return tmp_path
