"""What all tests share: small tokenizers made on the spot, and the way to the real data where it is."""

from __future__ import annotations

import json
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


TASK = """\
task: {task}
cluster: {cluster}
language: en
name: my_{task}
reader: table
path: rows.jsonl
id: animal
input: [animal]
answer: {answer}
templates:
  - {{id: ask, instruction: "What {task} has the {{{{ animal }}}}?", target: "{{{{ {answer} }}}}"}}
  - {{id: tell, instruction: "Tell me the {task} of the {{{{ animal }}}}.", target: "{{{{ {answer} }}}}"}}
"""
ROWS = [("cow", "moo", "barn"), ("dog", "woof", "kennel"), ("cat", "meow", "sofa"), ("hen", "cluck", "coop")]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A few rows of one's own: two tasks, of which one cluster is held out."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = (json.dumps({"animal": a, "sound": s, "home": h}) for a, s, h in ROWS)
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "sound.en.yaml").write_text(TASK.format(task="sound", cluster="noise", answer="sound"))
    (folder / "home.en.yaml").write_text(TASK.format(task="home", cluster="places", answer="home"))
    (tmp_path / "held_out.yaml").write_text("clusters: [places]\nwordings: {sound.en: [tell]}\n")
    (tmp_path / "text.txt").write_text("The cow says moo.\n\nThe dog says woof.\n")
    return folder
