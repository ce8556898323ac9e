"""What is typed nearly right, on another level or in the words of another program is answered in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from tunesmith import cli
from tunesmith.cli.verbs import FOREIGN


def said(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        cli.main(line.split())
    out = capsys.readouterr()
    return int(caught.value.code or 0), out.out + out.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("trian my.yaml", "There is no verb 'trian'. Did you mean: tunesmith train."),
        ("rn", "Did you mean: tunesmith run."),
        ("lint my_tasks/", "There is no verb 'lint'. Did you mean: tunesmith data lint."),
        ("ask gsm8k x", "Did you mean: tunesmith eval ask."),
        ("leeks x", "Did you mean: tunesmith data leaks."),
        ("finetune", "Here it is: tunesmith run (the stages of a recipe"),
        ("finetunee", "Did you mean 'finetune'? Here it is: tunesmith run ("),
        ("evaluate x", "Here it is: tunesmith eval ("),
        ("merge x", "Here it is: tunesmith export ("),
        ("generate x", "Here it is: tunesmith chat ("),
        ("zzz", "Verbs: quickstart, init, help, doctor,"),
        ("eval sak x", "There is no verb 'sak'. Did you mean: tunesmith eval ask."),
        ("eval winrates x", "Did you mean: tunesmith eval winrate."),
        ("eval nothing.yaml", "There is no recipe file 'nothing.yaml'"),
        ("data sampel x", "Did you mean: tunesmith data sample."),
        ("data zzz", "Verbs: "),
        ("recipe sho x", "Did you mean: tunesmith recipe show."),
        ("recipe show qwen3-lroa", "Did you mean 'qwen3-lora'?"),
        ("init lroa x", "did you mean 'lora'?"),
        ("init finetune x", "There is no kind 'finetune'. Here it is 'lora'"),
        ("help trian.lr", "Did you mean 'train.lr'?"),
        ("help train.lerning_rate", "Did you mean"),
    ],
)
def test_it_is_answered(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, line)
    assert code in (1, 2) and told in text
    assert len(text.strip().splitlines()) == 1


def test_other_programs_words_are_no_verbs_of_ours_and_lead_to_one() -> None:
    verbs = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for word, (ours, _) in FOREIGN.items():
        head, _, rest = ours.partition(" ")
        assert word not in verbs
        assert head in verbs or head == "--version", word
        assert not rest or head == "init" or rest in verbs[head].commands


def test_help_of_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "help train.batch_tokens")
    assert code == 0 and "default: 4096" in text and "at least 1" in text and "      batch_tokens: 4096" in text
    code, text = said(capsys, "help per_device_train_batch_size")
    assert code == 0 and "Here it is `train.batch_tokens`" in text


def test_help_of_a_kind_and_of_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "train.adapter.rank" in said(capsys, "help sft")[1]
    text = said(capsys, "help eval")[1]
    assert "winrate" in text and "max_new_tokens" in text
    assert "Usage: tunesmith run" in said(capsys, "help run")[1]
    assert "quickstart" in said(capsys, "help")[1]


def test_recipes_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from tunesmith.pipeline.recipe import BUILT_IN

    code, text = said(capsys, "recipe list")
    names = [file.stem for file in BUILT_IN.glob("*.yaml")]
    assert code == 0 and len(names) > 10 and all(f"\n{name} " in text for name in names)
    code, text = said(capsys, "recipe show qwen3-lora")
    assert code == 0 and text == (BUILT_IN / "qwen3-lora.yaml").read_text(encoding="utf-8")


def test_memory_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "recipe memory qwen3-lora --set tune.train.adapter.bits=4")
    assert code == 0 and "6.77 GB" in text and "Activations come on top" in text


def test_a_file_with_a_verbs_name_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("askk").write_text("name: x\n")
    assert "askk:1: stages: this key is missing" in said(capsys, "eval askk")[1]
