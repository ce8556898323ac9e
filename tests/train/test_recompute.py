"""What is computed again in the backward pass: the same bits, less memory, and chosen by what is free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_loop import MODEL, same, settings, store
from tunesmith.models.hf.blocks import blocks
from tunesmith.models.load import load_model
from tunesmith.models.policies import policy_of
from tunesmith.plan import Item
from tunesmith.train import recompute as again
from tunesmith.train.loop import train
from tunesmith.train.objective import loss_of
from tunesmith.train.objectives.sft import Sft

GB = 1 << 30


@pytest.mark.parametrize(
    ("kept", "free", "what"),
    [
        (0.1 * GB, 8 * GB, "nothing"),
        (0.1 * GB, 0.1 * GB, "cheap"),  # little, but more than there is
        (1.3 * GB, 16 * GB, "cheap"),
        (10 * GB, 8 * GB, "cheap"),
        (12 * GB, 8 * GB, "layers"),
        (1 * GB, -1 * GB, "layers"),
    ],
)
def test_what_is_computed_again_follows_from_the_memory_that_is_free(kept: float, free: float, what: str) -> None:
    assert again.choose(int(kept), int(free)) == what


def gradient(what: Any) -> tuple[dict[str, torch.Tensor], int]:
    model = load_model({**MODEL, "num_hidden_layers": 3}, seed=1)
    policy = policy_of(model)
    model.train()
    batch = Sft().batch([tuple(Item("a", i) for i in range(20))], {"a": store()}, "cpu")
    if what != "nothing":
        again.recompute(blocks(model), what)
    losses: list[torch.Tensor] = []

    def compute() -> None:
        losses.append(loss_of(policy, Sft(), batch).total)

    kept = again.bytes_kept(compute, model)
    losses[0].backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**found, "loss": losses[0].detach()}, kept


def test_the_bits_are_the_same_and_less_is_kept() -> None:
    whole, kept = gradient("nothing")
    for what in ("cheap", "layers"):
        found, less = gradient(what)
        assert same(whole, found), what
        assert less < 0.35 * kept  # what the checkpoints hold themselves is not counted here


def test_it_is_chosen_told_and_leaves_the_run_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where memory is short a run goes on that was begun where it was not: the weights are the same to the last bit."""
    import safetensors.torch

    found = []
    for name, free in (("much", 1 << 40), ("little", 0)):
        monkeypatch.setattr(again, "free_bytes", lambda device, free=free: free)
        train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(steps=6), tmp_path / name, progress=False)
        assert ("recompute: layers" in " ".join(capsys.readouterr().err.split())) == (name == "little")
        found.append(safetensors.torch.load_file(tmp_path / name / "model" / "model.safetensors"))
    assert same(*found)


def test_yes_and_no_are_understood() -> None:
    assert [settings(recompute=value).recompute for value in (True, False, "cheap")] == ["layers", "nothing", "cheap"]
    assert settings().recompute == "auto"
