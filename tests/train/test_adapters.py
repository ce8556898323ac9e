"""Training with an adapter, frozen parts, noise or recomputation: what moves, what stays, and what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from tests.train.test_loop import MODEL, same, settings, store
from tunesmith.core.errors import TrainError
from tunesmith.models.load import load_model
from tunesmith.train.loop import train

LORA = {"rank": 4}
IDS = torch.arange(2, 22)[None]


def base(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    load_model(MODEL, seed=3, dtype=dtype).save_pretrained(folder)
    return folder


def run(model: Path, out: Path, **changed: Any) -> dict[str, torch.Tensor]:
    more = changed.pop("train", {})
    train(model, "sft", {"a": store()}, {"a": 1.0}, settings(**changed), out, progress=False, **more)
    return safetensors.torch.load_file(out / "model" / "model.safetensors")


def said(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.train(False)(input_ids=IDS).logits
    return logits


def test_an_adapter_learns_and_the_rest_stays(tmp_path: Path) -> None:
    start = safetensors.torch.load_file(base(tmp_path / "base") / "model.safetensors")
    end = run(tmp_path / "base", tmp_path / "out", adapter=LORA)
    assert start.keys() == end.keys()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {name for name in start if "_proj" in name}
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    adapted = peft.PeftModel.from_pretrained(plain, tmp_path / "out" / "adapter")
    assert torch.allclose(said(merged), said(adapted), atol=1e-5)
    saved = safetensors.torch.load_file(tmp_path / "out" / "checkpoints" / "latest" / "state-0-of-1.safetensors")
    adapter = safetensors.torch.load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    held = sum(t.numel() for name, t in saved.items() if name.startswith("weights."))
    assert held == sum(t.numel() for t in adapter.values())  # a checkpoint holds no frozen weight


def test_the_loss_falls_with_every_kind_of_adapter(tmp_path: Path) -> None:
    base(tmp_path / "base")
    losses: list[float] = []
    for name, adapter in {"lora": LORA, "dora": {**LORA, "dora": True}, "nf4": {**LORA, "bits": 4}}.items():
        losses.clear()
        note = {"on_event": lambda event: losses.append(event.loss)}
        run(tmp_path / "base", tmp_path / name, adapter=adapter, steps=60, train=note)
        assert sum(losses[-5:]) < 0.97 * sum(losses[:5])


def test_killed_with_an_adapter_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    base(tmp_path / "base")
    whole = run(tmp_path / "base", tmp_path / "whole", adapter=LORA)

    def stop(event: Any) -> None:
        if event.step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "base", tmp_path / "killed", adapter=LORA, train={"on_event": stop})
    assert same(whole, run(tmp_path / "base", tmp_path / "killed", adapter=LORA))


@pytest.mark.parametrize("tied", [True, False])
def test_the_rows_of_new_tokens_are_trained(tied: bool, tmp_path: Path) -> None:
    load_model({**MODEL, "vocab_size": 40, "tie_word_embeddings": tied}, seed=3).save_pretrained(tmp_path / "base")
    end = run(tmp_path / "base", tmp_path / "out", adapter=LORA, train={"new_ids": range(40, 50)})
    assert end["model.embed_tokens.weight"].shape[0] == 50
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    plain.resize_token_embeddings(50, mean_resizing=False)
    adapted = peft.PeftModel.from_pretrained(plain, tmp_path / "out" / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    assert torch.allclose(said(merged), said(adapted), atol=1e-5)


def test_a_model_is_written_as_precise_as_it_was_read(tmp_path: Path) -> None:
    base(tmp_path / "base", torch.bfloat16)
    for name, changed in {"full": {}, "lora": {"adapter": LORA}}.items():
        end = run(tmp_path / "base", tmp_path / name, **changed)
        assert {t.dtype for t in end.values()} == {torch.bfloat16}


def test_frozen_parts_stay(tmp_path: Path) -> None:
    start = safetensors.torch.load_file(base(tmp_path / "base") / "model.safetensors")
    end = run(tmp_path / "base", tmp_path / "out", freeze=["model.embed_tokens", "model.layers.0"])
    stayed = {name for name in start if torch.equal(start[name], end[name])}
    assert stayed == {name for name in start if name.startswith(("model.embed_tokens", "model.layers.0."))}


def test_recomputing_layers_changes_nothing(tmp_path: Path) -> None:
    base(tmp_path / "base")
    assert same(
        run(tmp_path / "base", tmp_path / "plain", steps=5),
        run(tmp_path / "base", tmp_path / "again", steps=5, recompute=True),
    )
    assert same(
        run(tmp_path / "base", tmp_path / "plain-lora", steps=5, adapter=LORA),
        run(tmp_path / "base", tmp_path / "again-lora", steps=5, adapter=LORA, recompute=True),
    )


def test_noise_is_drawn_anew_each_step_and_the_same_again(tmp_path: Path) -> None:
    base(tmp_path / "base")
    noisy = [run(tmp_path / "base", tmp_path / f"noisy{i}", steps=5, noise=5.0) for i in range(2)]
    assert same(*noisy)
    assert not same(noisy[0], run(tmp_path / "base", tmp_path / "plain", steps=5))


def test_a_target_that_no_layer_has_stops_before_training(tmp_path: Path) -> None:
    base(tmp_path / "base")
    with pytest.raises(Exception, match="Did you mean 'q_proj'"):
        run(tmp_path / "base", tmp_path / "out", adapter={"targets": ["q_prog"]})
    with pytest.raises(TrainError, match="nothing is left"):
        run(tmp_path / "base", tmp_path / "out2", freeze=["*"])
