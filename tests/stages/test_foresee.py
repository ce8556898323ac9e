"""What is sure to fail is told before anything runs, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.core.errors import RecipeError
from tunesmith.models.load import load_model
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as runner

BASE = """\
name: small
stages:
  build: {{kind: build, tasks: [{tasks}]}}
  tokenizer: {{kind: tokenizer, data: build, vocab_size: 300}}
  pretrain:
    kind: pretrain
    data: build
    tokenizer: tokenizer
    model: {{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
            num_key_value_heads: 2, max_position_embeddings: 256}}
"""


def told(text: str, folder: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        runner.foreseen(recipe.parse(text, "my.yaml"), folder)
    (line,) = str(caught.value).splitlines()[1:]
    return line


def test_the_size_of_a_fresh_model(tmp_path: Path, tasks: Path) -> None:
    notes = runner.foreseen(recipe.parse(BASE.format(tasks=tasks)), tmp_path / "out")
    assert notes == [("pretrain", "30 k parameters, 9.86 k of them in embeddings")]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hidden_size: 32", "hidden_size: 33", "my.yaml:9: stages.pretrain.model: no model can be made of this"),
        ("num_key_value_heads: 2", "num_key_value_heads: 7", "my.yaml:9: stages.pretrain.model: "),
        ("model_type: llama", "model_type: lama", "Did you mean 'llama'?"),
        ("hidden_size: 32", "hiden_size: 32", "Did you mean 'hidden_size'?"),
    ],
)
def test_a_model_that_cannot_be(tmp_path: Path, tasks: Path, old: str, new: str, said: str) -> None:
    line = told(BASE.format(tasks=tasks).replace(old, new), tmp_path)
    assert said in line and line.startswith("my.yaml:9: stages.pretrain.model: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hidden_size: 32", "hidden_size: -1", "'hidden_size' is -1, wanted"),
        ("hidden_size: 32", "hidden_size: .nan", "'hidden_size' is nan, wanted a finite number"),
        ("hidden_size: 32", "rms_norm_eps: .inf", "'rms_norm_eps' is inf, wanted a finite number"),
        ("hidden_size: 32", "hidden_size: 1e12", "wanted at most 1,000,000,000"),
        ("num_hidden_layers: 1,", "num_hidden_layers: 10000000,", "wanted at most 2,000"),
        ("num_hidden_layers: 1,", "num_hidden_layers: 0,", "wanted 1 or more"),
        ("num_attention_heads: 2", "num_attention_heads: -2", "'num_attention_heads' is -2"),
        ("model_type: llama", "model_type: ''", "'model_type' is '', wanted the name of an architecture"),
        ("model_type: llama, ", "", "'model_type' is nothing"),
    ],
)
def test_what_no_model_has_is_told_without_making_one(tasks: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.parse(BASE.format(tasks=tasks).replace(old, new), "my.yaml")
    assert "my.yaml:9: stages.pretrain.model: " in str(caught.value) and said in str(caught.value)


def test_a_build_alone(tmp_path: Path, tasks: Path) -> None:
    loaded = recipe.parse("\n".join(BASE.format(tasks=tasks).splitlines()[:3]))
    assert loaded.result == "" and runner.foreseen(loaded, tmp_path) == []
    assert [one.id for one in runner.run(loaded, folder=tmp_path / "out").stages] == ["build"]
    assert list((tmp_path / "out" / "build").glob("train.instruction/*.parquet"))


def test_a_base_without_a_chat_template(tmp_path: Path, tasks: Path, tok: object) -> None:
    from transformers import PreTrainedTokenizerFast

    assert isinstance(tok, PreTrainedTokenizerFast)
    shape = {"model_type": "llama", "vocab_size": len(tok), "hidden_size": 32, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2}  # fmt: skip
    load_model(shape).save_pretrained(tmp_path / "base")
    tok.save_pretrained(tmp_path / "base")
    tune = f"  tune: {{kind: sft, model: {tmp_path}/base, data: build"
    text = "\n".join([*BASE.format(tasks=tasks).splitlines()[:3], tune])
    line = told(text + "}\n", tmp_path / "out")
    assert line.startswith("my.yaml:4: stages.tune.chat: ") and "chat: chatml" in line
    assert runner.foreseen(recipe.parse(text + ", chat: chatml}\n"), tmp_path / "out") == []


def test_a_report_without_a_base(tmp_path: Path, tasks: Path) -> None:
    more = "  tune: {kind: sft, model: pretrain, data: build}\n  eval: {kind: eval, data: build, tuned: tune}\n"
    more += "  report: {kind: report, data: build, scores: eval}\n"
    line = told(BASE.format(tasks=tasks) + more, tmp_path)
    assert line.startswith("my.yaml:13: stages.report.scores: a report compares a model with its base")
