"""Models by folder and by name: what is loaded, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from tunesmith.core.errors import TrainError
from tunesmith.models.load import load_model, save_model
from tunesmith.models.policy import Policy
from tunesmith.models.vocabulary import extend

TINY = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(load_model(AutoConfig.for_model("llama", **TINY), seed=1), tmp_path / "tiny")


def test_a_folder_comes_back_as_it_went(folder: Path) -> None:
    model = load_model(folder)
    fresh = load_model({"model_type": "llama", **TINY}, seed=1)
    for (name, a), (other, b) in zip(model.named_parameters(), fresh.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b)


def test_what_is_saved_says_nothing_of_how_it_was_trained(tmp_path: Path) -> None:
    model = load_model(AutoConfig.for_model("gemma2", **TINY, head_dim=8), seed=1)
    Policy(model)
    saved = save_model(model, tmp_path / "gemma")
    assert "tunesmith" not in (saved / "config.json").read_text()
    again = Policy(load_model(saved))
    again.check()
    assert again.packs


def test_a_name_that_is_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainError, match=r"tinny is not a model folder .* Did you mean .*/tiny\?"):
        load_model(folder.parent / "tinny")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TrainError, match=r"nobody/nothing@v2 is not a folder with a model.*hf download nobody/nothing"):
        load_model("nobody/nothing@v2")


def test_code_of_a_models_own_is_not_run(folder: Path) -> None:
    marker = folder.parent / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainError, match="comes with Python code of its own, which is not run here"):
        load_model(folder)
    assert not marker.exists()


def test_pickled_weights_are_not_opened(folder: Path) -> None:
    state = load_model(folder).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(TrainError, match="has no weights as safetensors"):
        load_model(folder)


def test_a_revision_stands_after_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}

    def snapshot_download(name: str, **settings: object) -> object:
        asked.update(settings, name=name)
        raise OSError("not reachable")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(TrainError, match="cannot be fetched from the hub: not reachable"):
        load_model("org/name@v1.0")
    assert (asked["name"], asked["revision"]) == ("org/name", "v1.0")
    assert "*.py" not in str(asked["allow_patterns"])


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_begin_at_the_mean(tied: bool) -> None:
    model = load_model(AutoConfig.for_model("llama", **TINY, tie_word_embeddings=tied), seed=1)
    before = model.get_input_embeddings().weight.detach().clone()
    ids = torch.randint(61, (1, 9))
    with torch.no_grad():
        said = model(input_ids=ids).logits
    extend(model, [61, 62, 63], seed=4)
    rows, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert rows.shape[0] == head.shape[0] == model.config.vocab_size == 64
    assert torch.equal(rows[:61], before) and (rows is head) == tied
    assert torch.allclose(rows[61:], before.mean(0).expand(3, -1), atol=0.1 * float(before.std()))
    assert not torch.equal(rows[61], rows[62])
    with torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits[..., :61], said, atol=1e-6)
    again = load_model(AutoConfig.for_model("llama", **TINY, tie_word_embeddings=tied), seed=1)
    extend(again, [61, 62, 63], seed=4)
    assert torch.equal(again.get_input_embeddings().weight, rows)


def test_reserved_rows_are_set_as_well() -> None:
    """Many models have more rows than their tokenizer has tokens; a new token may fall on one never trained."""
    model = load_model(AutoConfig.for_model("llama", **TINY), seed=1)
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = 0
    extend(model, [60])
    assert model.get_input_embeddings().num_embeddings == 61
    assert float(model.get_input_embeddings().weight[60].abs().sum()) > 0


def test_a_setting_that_is_read_without_being_declared() -> None:
    experts = {"model_type": "qwen3_moe", **TINY, "num_local_experts": 4, "moe_intermediate_size": 32}
    model = load_model({**experts, "head_dim": 16}, seed=1)
    assert model.get_parameter("model.layers.0.self_attn.q_proj.weight").shape == (64, 32)
    with pytest.raises(TrainError, match="has no setting 'hed_dim'"):
        load_model({**experts, "hed_dim": 16})
