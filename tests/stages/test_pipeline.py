"""All stages in small, end to end: nothing is learned in so few steps, but everything is written, read and reused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tunesmith.api.folders import open_folder
from tunesmith.chat import train_bpe
from tunesmith.cli.chat import open_talk
from tunesmith.core.errors import RecipeError
from tunesmith.evals.records import read_records
from tunesmith.models.generate import GREEDY
from tunesmith.models.load import load_model
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as runner

RECIPE = """\
name: small
stages:
  build: {{kind: build, tasks: [{tasks}], text: [{place}/text.txt], held_out: {place}/held_out.yaml,
          formats: [instruction, none], shots: [0, 1]}}
  tokenizer: {{kind: tokenizer, data: build, vocab_size: 300}}
  pretrain:
    kind: pretrain
    data: build
    tokenizer: tokenizer
    model: {{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
            num_key_value_heads: 2, max_position_embeddings: 256}}
    train: {{steps: 4, batch_tokens: 128, row_length: 128}}
  tune: &tune {{kind: sft, model: pretrain, data: build, rehearsal: 0.3,
                train: {{steps: 4, batch_tokens: 256, row_length: 256}}}}
  bare: {{<<: *tune, format: none}}
  eval: {{kind: eval, data: build, base: pretrain, tuned: tune, ablation: {{none: bare}}, shots: [0, 1],
          max_new_tokens: 9, suites: [{place}/suite.yaml]}}
  report: {{kind: report, data: build, scores: eval}}
result: tune
"""


def test_from_tasks_to_report(tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = recipe.parse(RECIPE.format(tasks=tasks, place=tmp_path))
    (tmp_path / "suite.yaml").write_text(f"suite: mine\ntasks: [{tasks}]\ntext: [text.txt]\nmax_new_tokens: 9\n")
    out = tmp_path / "runs" / "small"

    def go() -> dict[str, bool]:
        result = runner.run(loaded, folder=out, console=Console(file=io.StringIO()))
        return {stage.id: stage.reused for stage in result.stages}

    assert not any(go().values())
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    asked = {(row["model"], row["level"], row["format"], row["shots"]) for row in found["results"]}
    for level in ("seen", "wording", "cluster"):
        for model in ("base", "tuned"):
            assert {(model, level, "instruction", 0), (model, level, "instruction", 1)} <= asked
    assert {("none", "cluster", "instruction", 0), ("none", "cluster", "none", 0)} <= asked
    assert set(found["run"]["stages"]) == {"build", "tokenizer", "pretrain", "tune", "bare", "eval"}
    assert recipe.parse(found["run"]["text"]).stages == loaded.stages
    # A suite's questions have their level from the rows that were trained on.
    mine = {row["level"] for row in found["results"] if row["format"] == "mine"}
    assert mine == {"seen", "wording", "cluster"}
    assert {row["metric"] for row in found["results"] if row["format"] == "text"} >= {"bits_per_byte"}
    answers = read_records(out / "eval" / "answers.jsonl")
    assert {r.leak is None for r in answers if r.level == "seen"} == {True}
    assert {r.leak for r in answers if r.level == "cluster" and r.format != "none"} <= {"", "source", "exact", "near"}
    assert 'href="answers.html#view=answers"' in (out / "report.html").read_text(encoding="utf-8")
    assert (out / "answers.html").read_bytes() == (out / "eval" / "answers.html").read_bytes()
    assert "<script src" not in (out / "report.html").read_text(encoding="utf-8")

    assert all(go().values())

    opened = open_folder(out)
    assert opened.folder == out / "tune" / "model"
    assert opened.stage_of_kind("build") == out / "build"
    assert opened.trained_on == [out / "build", out / "build" / "text.jsonl"]
    assert open_folder(out / "pretrain").trained_on == [out / "build" / "text.jsonl"]
    assert open_folder(out / "pretrain").folder == out / "pretrain" / "model"
    assert isinstance("".join(open_talk(out, None, GREEDY, 3).answer("What sound has the cow?")), str)


def test_a_run_without_its_model_says_how_to_go_on(tmp_path: Path, tasks: Path) -> None:
    loaded = recipe.parse(RECIPE.format(tasks=tasks, place=tmp_path), "my.yaml")
    runner.run(loaded, folder=tmp_path / "run", only=["build"], console=Console(file=io.StringIO()))
    with pytest.raises(
        RecipeError, match=r"has not come as far as its model \(tune\). Go on with: tunesmith run my.yaml"
    ):
        open_folder(tmp_path / "run")


PAIR_RECIPE = """\
name: pair
stages:
  build: {{kind: build, tasks: [{tasks}], held_out: {place}/held_out.yaml}}
  tune: {{kind: sft, model: {place}/t5, data: build,
          train: {{steps: 150, batch_tokens: 256, row_length: 128, lr: 1e-2, {more}}}}}
  eval: {{kind: eval, data: build, base: {place}/t5, tuned: tune, max_new_tokens: 9}}
  report: {{kind: report, data: build, scores: eval}}
"""


@pytest.mark.parametrize("more", ["", "adapter: {rank: 8}"])
def test_an_encoder_decoder_in_the_same_recipe(tmp_path: Path, tasks: Path, more: str) -> None:
    """T5 is tuned, asked and opened by plain transformers, with the same stages and settings as any other model."""
    tok = train_bpe(["What sound has the cow? moo", "Tell me: woof"], 300, ("</s>",), eos="</s>")
    tok.save_pretrained(tmp_path / "t5")
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    load_model({"model_type": "t5", "vocab_size": 320, **sizes}, seed=1).save_pretrained(tmp_path / "t5")
    loaded = recipe.parse(PAIR_RECIPE.format(tasks=tasks, place=tmp_path, more=more))
    out = tmp_path / "runs"
    runner.run(loaded, folder=out, console=Console(file=io.StringIO()))
    scores = {
        (row["model"], row["level"]): row["value"]
        for row in json.loads((out / "report.json").read_text(encoding="utf-8"))["results"]
        if row["metric"] == "exact_match"
    }
    if not more:
        assert scores["tuned", "seen"] == 1.0 and scores["base", "seen"] == 0.0
    folder = out / "tune" / "model"
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    plain = AutoTokenizer.from_pretrained(folder)
    question = plain.apply_chat_template(
        [{"role": "user", "content": "What sound has the cow?"}], add_generation_prompt=True, return_tensors="pt"
    )
    said = model.generate(**question, max_new_tokens=9)[0]
    answer = "".join(open_talk(out / "tune", None, GREEDY, 9).answer("What sound has the cow?"))
    assert plain.decode(said, skip_special_tokens=True) == answer
    if not more:
        assert answer == "moo"
