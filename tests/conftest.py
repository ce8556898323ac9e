"""What all tests share: small tokenizers made on the spot, and the way to the real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. What is the capital of France? The capital of France is Paris.",
    "system user assistant tool Hello there! How are you? I'm fine, thanks. Say it in three words.",
    "法国的首都是巴黎。你好，世界！请用三句话回答。",
    "def add(a, b):\n    return a + b\n\n# 12 + 30 = 42\n",
] * 4


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return CORPUS


@pytest.fixture
def tok() -> PreTrainedTokenizerFast:
    """A fresh byte-level BPE tokenizer with one control token, ``<|end|>``."""
    from tunesmith.chat import train_bpe

    return train_bpe(CORPUS, vocab_size=600)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets, kept beside the project where there are any."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}")
    return path
