"""A first recipe for one's own data: it says what was found, passes the check, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tunesmith import cli
from tunesmith.chat import ChatFormat
from tunesmith.pipeline import recipe
from tunesmith.stages.sft import Sft

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "max_position_embeddings": 700,
}  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out + out.err


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tok: PreTrainedTokenizerFast) -> Path:
    """Chats, plain text, and three small models: a base without a chat format, one with, an encoder-decoder."""
    rows = [{"instruction": f"What is {i} plus one?", "output": f"It is {i + 1}. " * (1 + i % 3)} for i in range(60)]
    (tmp_path / "chats.json").write_text(json.dumps(rows))
    (tmp_path / "text.txt").write_text("The cow says moo.\n" * 2000)
    config: PretrainedConfig = LlamaConfig(vocab_size=len(tok), **SMALL)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tok.save_pretrained(tmp_path / "base")
    words = ChatFormat.named("chatml", tok).tok
    config = Qwen3Config(vocab_size=len(words), head_dim=16, **SMALL)
    Qwen3ForCausalLM(config).save_pretrained(tmp_path / "chatty")
    words.save_pretrained(tmp_path / "chatty")
    config = T5Config(
        vocab_size=len(tok), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "pair")
    tok.save_pretrained(tmp_path / "pair")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["lora", "full", "qlora"])
@pytest.mark.parametrize("model", ["base", "chatty", "pair"])
def test_it_passes_the_check(place: Path, kind: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "init", kind, "chats.json", "--model", model)
    assert code == 0 and "tunesmith run chats-" in text, text
    name = f"chats-{kind}"
    code, text = said(capsys, "run", f"{name}.yaml", "--check")
    assert code == 0 and f"{name}.yaml is fine." in text, text
    written = (place / f"{name}.yaml").read_text()
    tune = recipe.load(f"{name}.yaml").stages["tune"]
    assert isinstance(tune, Sft)
    assert tune.chat == ("chatml" if model == "base" else None)
    bits = tune.train.adapter.bits if tune.train.adapter else None
    assert (tune.train.adapter is None, bits) == (kind == "full", 4 if kind == "qlora" else None)
    assert "# chats.json: the first 20 rows are objects with `instruction` and `output`: reader 'alpaca'" in written
    assert "# 60 rows, " in written and f"counted with the tokenizer of {model}, on 60 rows" in written
    assert "# Memory: " in written and f"tunesmith recipe memory {name}.yaml" in written


def test_what_it_proposes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """60 rows of 60 tokens at most: three epochs of small batches, so that there are about a hundred steps."""
    said(capsys, "init", "lora", "chats.json", "--model", "chatty")
    tune = recipe.load("chats-lora.yaml").stages["tune"]
    assert isinstance(tune, Sft)
    assert (tune.train.epochs, tune.train.row_length, tune.train.batch_tokens) == (3, 256, 256)
    rows = [{"instruction": "Count.", "output": "one two three four " * 100} for _ in range(50)]
    (place / "long.json").write_text(json.dumps(rows))
    said(capsys, "init", "lora", "long.json", "--model", "chatty")
    tune = recipe.load("long-lora.yaml").stages["tune"]
    assert isinstance(tune, Sft) and tune.train.row_length == 700, "the model can read no more"
    assert "longer rows are left out, and counted" in (place / "long-lora.yaml").read_text()


def test_pretraining(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "init", "pretrain", "text.txt", "chats.json")[0] == 0
    code, text = said(capsys, "run", "text-pretrain.yaml", "--check")
    assert code == 0 and "is fine." in text
    code, text = said(capsys, "init", "pretrain", "text.txt", "--name", "other")
    assert code == 1 and "needs rows with questions and answers. text.txt is plain text." in text
    code, text = said(capsys, "init", "pretrain", "chats.json")
    assert code == 1 and "init pretrain needs plain text beside the rows" in text


def test_evaluating(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "init", "eval", "chats.json", "--model", "chatty", "--base", "chatty")[0] == 0
    code, text = said(capsys, "run", "chats-eval.yaml", "--check")
    assert code == 0 and "is fine." in text
    assert "tune" not in recipe.load("chats-eval.yaml").stages


def test_labelled_rows_need_a_task_file(place: Path, tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "init", "lora", str(tasks / "rows.jsonl"), "--model", "chatty")
    assert code == 1 and "Paste these lines into rows.yaml" in text
    code, text = said(capsys, "init", "lora", str(tasks), "--model", "chatty")
    assert code == 0 and recipe.load("tasks-lora.yaml").stages["build"].tasks == [str(tasks)]  # type: ignore[attr-defined]


def test_a_model_of_the_hub_is_not_fetched(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = said(capsys, "init", "lora", "chats.json", "--model", "hub:Qwen/Qwen3-0.6B", "--out", "my/own.yaml")
    written = (place / "my" / "own.yaml").read_text()
    assert code == 0 and "estimated: 4 bytes a token" in written and "# chat: chatml" in written
    assert "tunesmith run my/own.yaml --check" in written and "# Memory: 1.35 GB" in written
    assert recipe.load("my/own.yaml").name == "chats-lora"
    code, _ = said(capsys, "init", "lora", "chats.json", "--model", "hub:some/body", "--name", "b")
    assert code == 0 and "# Memory, once the model is in a folder: " in (place / "b.yaml").read_text()


def test_nothing_is_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.yaml").write_text("mine")
    code, text = said(capsys, "init", "lora", "chats.json", "--model", "chatty", "--name", "mine")
    assert code == 1 and "mine.yaml is there already, and is not overwritten." in text
    assert (place / "mine.yaml").read_text() == "mine"


def test_names_that_yaml_would_read_otherwise(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1e5.json", "a: b, c.json", "聊天.json"):
        (place / name).write_text((place / "chats.json").read_text())
        assert said(capsys, "init", "lora", name, "--model", "chatty", "--out", "x.yaml")[0] == 0
        assert recipe.load("x.yaml").stages["build"].tasks == [name]  # type: ignore[attr-defined]
        (place / "x.yaml").unlink()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "kind is missing, and nobody can be asked here. Give it as in: tunesmith init lora chats.jsonl --model"),
        (("lora",), "data is missing"),
        (("lora", "chats.json"), "--model is missing"),
        (("lora", "chat.json", "--model", "base"), "There is no data file or folder chat.json; did you mean 'chats.j"),
        (("lora", "chats.json", "--model", "bsae"), "There is no model folder bsae; did you mean 'base'?"),
        (("lora", "chats.json", "--model", "Qwen/Qwen3-8B"), "on the hub it would be hub:Qwen/Qwen3-8B"),
        (("lora", "chats.json", "--model", "hub:Qwen"), "is not hub:owner/model"),
        (("lora", "chats.json", "--model", "."), ". is not a model folder (no config.json in it)"),
        (("chats.json",), "The kind stands first: tunesmith init lora chats.json."),
        (("pretrain", "text.txt", "--model", "base"), "init pretrain makes a fresh model and takes no --model."),
        (("lora", "chats.json", "--base", "base", "--model", "base"), "--base is for init eval."),
    ],
)
def test_what_is_wrong(place: Path, args: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "init", *args)
    assert code == 1 and told in text and len(text.strip().splitlines()) == 1
    assert not list(place.glob("*.yaml"))


def test_it_asks_where_somebody_can_answer(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["lora", "chats.json", "chatty"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert said(capsys, "init")[0] == 0
    assert recipe.load("chats-lora.yaml").stages["tune"].model == "chatty"  # type: ignore[attr-defined]
