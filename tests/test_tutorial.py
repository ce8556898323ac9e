"""The tutorial, done as it is written: its CSV, its task, its ten lines of recipe, its commands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.test_docs import ROOT, blocks
from tunesmith import cli
from tunesmith.chat import ChatFormat

PAGE = ROOT / "docs" / "own-data.md"
RECIPE_LINES = 10


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tok: PreTrainedTokenizerFast) -> Path:
    """A folder with the files of the page, and a tiny base where the quickstart would have left one."""
    (csv,), (task, recipe) = blocks(PAGE, "csv"), blocks(PAGE, "yaml")
    for name, text in (("tickets.csv", csv), ("tickets.yaml", task), ("tickets_recipe.yaml", recipe)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    base = tmp_path / "runs" / "quickstart" / "pretrain" / "model"
    words = ChatFormat.named("chatml", tok).tok
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(base)
    words.save_pretrained(base)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(shlex.split(line)[1:])
    return int(caught.value.code or 0)


def test_from_csv_to_a_tuned_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = (place / "tickets_recipe.yaml").read_text()
    assert len(recipe.strip().splitlines()) <= RECIPE_LINES
    said = []
    for block in blocks(PAGE, "sh")[:3]:
        for line in block.splitlines():
            command = line.partition("#")[0].strip()
            if not command.startswith("tunesmith chat"):
                assert run(command) == 0, capsys.readouterr().err
                said.append(capsys.readouterr().out)
    assert "ticket_topic.en  21" in re.sub(r" +", "  ", said[0]) and "nothing looks wrong" in said[2]
    assert "trained on" in said[-1] or "held out: instance" in said[-1]

    found = json.loads((place / "runs/tickets/report.json").read_text())
    rates = {(r["model"], r["level"]): r["value"] for r in found["results"] if r["metric"] == "exact_match"}
    assert rates["tuned", "seen"] > rates["base", "seen"]
    assert rates["tuned", "seen"] >= 0.5  # by luck it would be a third
    assert ("tuned", "instance") in rates
    assert (place / "runs/tickets/build/card.instruction.html").is_file()
    assert (place / "runs/tickets/tune/model/config.json").is_file()
