"""Answers to a few prompts while a model is trained."""

from __future__ import annotations

import io
import json
from pathlib import Path

import safetensors.torch
from rich.console import Console

from tests.stages.test_sft import RECIPE
from tunesmith.pipeline import recipe, run


def go(place: Path, tasks: Path, more: str, again: tuple[str, ...] = ()) -> str:
    console = Console(file=io.StringIO(), width=200)
    text = RECIPE.format(tasks=tasks, place=place, mixture="{rates: proportional}")
    text = text.replace("kind: sft, ", f"kind: sft, {more}").replace("{steps: 3,", "{steps: 6, save_every: 2,")
    run.run(recipe.parse(text), folder=place / "run", again=again, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_prompts_are_answered_at_each_checkpoint(tmp_path: Path, tasks: Path) -> None:
    go(tmp_path, tasks, "samples: [Which sound?, 什么声音？], ")
    told = [json.loads(line) for line in (tmp_path / "run/tune/samples.jsonl").read_text().splitlines()]
    assert [(line["step"], line["prompt"]) for line in told] == [
        (step, prompt) for step in (2, 4, 6) for prompt in ("Which sound?", "什么声音？")
    ]
    assert all(isinstance(line["answer"], str) for line in told)
    # They are looked at and change nothing: another list of prompts, and the stage is done before, with these weights.
    weights = safetensors.torch.load_file(tmp_path / "run/tune/model/model.safetensors")
    assert "tune done before" in go(tmp_path, tasks, "samples: [Why?], ")
    go(tmp_path, tasks, "", again=("tune",))
    assert not (tmp_path / "run/tune/samples.jsonl").exists()
    again = safetensors.torch.load_file(tmp_path / "run/tune/model/model.safetensors")
    assert all(weights[name].equal(again[name]) for name in weights)


def test_a_run_that_goes_on_asks_no_step_twice(tmp_path: Path) -> None:
    from tunesmith.stages.samples import FILE, sampler

    (tmp_path / FILE).write_text('{"step": 2, "prompt": "a", "answer": "b"}\n')

    class Format:
        stop_ids = (0,)

        def prompt(self, messages: object) -> list[int]:
            return [1]

    sample = sampler(Format(), ["a"], tmp_path)  # type: ignore[arg-type]
    assert sample is not None
    sample(2, None, print)  # type: ignore[arg-type]
    assert len((tmp_path / FILE).read_text().splitlines()) == 1
    assert sampler(Format(), [], tmp_path) is None  # type: ignore[arg-type]
