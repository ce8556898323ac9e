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
    (csv,), (task, recipe, chats, _) = blocks(PAGE, "csv"), blocks(PAGE, "yaml")
    files = {"tickets.csv": csv, "tickets.yaml": task, "tickets_recipe.yaml": recipe, "chats_recipe.yaml": chats}
    for name, text in files.items():
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


def test_chats_with_long_answers_pass_through_to_the_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animals = [
        f"{size} {animal}"
        for size in ("big", "small", "old", "young")
        for animal in ["cow", "dog", "cat", "hen", "fox"]
    ]
    rows = [
        [
            {"role": "user", "content": f"What does the {animal} do all day?"},
            {
                "role": "assistant",
                "content": f"The {animal} gets up early. " + f"Then the {animal} walks to the river. " * 3,
            },
        ]
        for animal in animals
    ]
    (place / "chats.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in rows))
    assert run("tunesmith run chats_recipe.yaml --check") == 0, capsys.readouterr().err
    capsys.readouterr()
    assert run("tunesmith run chats_recipe.yaml") == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert re.search(r"2 epochs: \d+ steps of about 2,048 tokens", said)
    assert re.search(r"answers may have \d+ tokens, as the given ones need", said)
    assert "no metric that says which are right" in said

    out = place / "runs/chats"
    found = json.loads((out / "report.json").read_text())
    held = {r["model"]: r for r in found["results"] if (r["level"], r["shots"]) == ("instance", 0)}
    assert {r["metric"] for r in held.values()} == {"answer_bits"} and set(held) == {"base", "tuned"}
    losses = json.loads((place / "runs/chats/eval/losses.json").read_text())
    loss = {one["model"]: one["per_token"] for one in losses if one["level"] == "instance"}
    assert 0 < loss["tuned"] < loss["base"]
    assert held["tuned"]["value"] < held["base"]["value"] < 20
    answers = [json.loads(line) for line in (out / "eval/answers.jsonl").read_text().splitlines()]
    longest = max(len(r["gold"][0]) for r in answers)
    assert all(r["gold"][0].startswith("The ") and r["answer"] is not None for r in answers) and longest > 100
    page = (out / "report.html").read_text()
    assert "the loss in bits per byte on held-out rows of chats.en" in page
    assert found["run"]["stages"]["tune"]["info"]["steps"] == int(re.search(r"2 epochs: (\d+)", said)[1])  # type: ignore[index]

    assert run("tunesmith run chats_recipe.yaml --set eval.max_new_tokens=8 --check") == 0, (
        "nothing to be right to the letter"
    )
    assert run("tunesmith run chats_recipe.yaml --set eval.shots=[0,3] --check") == 1
    assert "the build 'build' was not made with shots: 3" in capsys.readouterr().err


def test_lora_on_my_chats(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's recipe as it stands, but for the model of the hub, in whose place is the tiny base."""
    text = blocks(ROOT / "README.md", "yaml")[0]
    assert blocks(ROOT / "docs" / "get-started" / "first-lora.md", "yaml") == [text]
    (place / "my.yaml").write_text(text, encoding="utf-8")
    rows = [
        [{"role": "user", "content": f"Where is parcel {i}?"}, {"role": "assistant", "content": f"In shelf {i % 7}."}]
        for i in range(40)
    ]
    (place / "chats.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in rows))
    base = "runs/quickstart/pretrain"
    small = f"--set tune.model={base} --set eval.base={base} --set tune.train.row_length=256"
    assert run(f"tunesmith run my.yaml {small} --check") == 0, capsys.readouterr().err
    assert run(f"tunesmith run my.yaml {small}") == 0, capsys.readouterr().err
    out = place / "runs" / "my"
    for written in ("tune/model/config.json", "tune/adapter/adapter_config.json", "eval/answers.html", "report.html"):
        assert (out / written).is_file(), written
    found = json.loads((out / "report.json").read_text())
    assert {r["model"] for r in found["results"] if r["level"] == "instance"} == {"base", "tuned"}
    assert found["run"]["stages"]["tune"]["info"]["steps"] >= 1
