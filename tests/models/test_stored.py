"""A damaged or hostile model folder is refused in one line that names the file or the weights, and soon."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import PreTrainedTokenizerFast

from tests.conftest import CORPUS
from tunesmith.chat import train_bpe
from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.models.hf.attention import implementation
from tunesmith.models.load import load_model, save_model
from tunesmith.models.tokenizer import load_tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small model and its tokenizer."""
    folder = tmp_path_factory.mktemp("whole")
    tok: PreTrainedTokenizerFast = train_bpe(CORPUS, vocab_size=300)
    tok.save_pretrained(folder / "tokenizer")
    model = load_model({"model_type": "llama", "vocab_size": 300, **SIZES}, seed=1)
    save_model(model, folder / "model", tokenizer_dir=folder / "tokenizer", stop_ids=[0])
    return {file.name: file.read_bytes() for file in (folder / "model").iterdir()}


@pytest.fixture
def folder(whole: dict[str, bytes], tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    for name, content in whole.items():
        (tmp_path / "model" / name).write_bytes(content)
    return tmp_path / "model"


def edit(name: str, **fields: Any) -> Damage:
    def do(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(found | fields))

    return do


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def do(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        change(tensors)
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return do


def content(name: str, change: bytes | Callable[[bytes], bytes]) -> Damage:
    def do(folder: Path) -> None:
        was = (folder / name).read_bytes() if (folder / name).exists() else b""
        (folder / name).write_bytes(change if isinstance(change, bytes) else change(was))

    return do


def sharded(names: Any) -> Damage:
    def do(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))

    return do


def a_folder(name: str) -> Damage:
    def do(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return do


def with_value(name: str, value: float) -> Damage:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name][3, 5] = value

    return weights(change)


UP = "model.layers.1.mlp.up_proj.weight"
MODELS: dict[str, tuple[Damage, str]] = {
    "weights cut off": (content("model.safetensors", lambda b: b[:-1000]), "model.safetensors is not a whole"),
    "weights cut in the header": (content("model.safetensors", lambda b: b[:100]), "model.safetensors is not a whole"),
    "weights empty": (content("model.safetensors", b""), "model.safetensors is not a whole"),
    "weights of zeros": (content("model.safetensors", bytes(5000)), "model.safetensors is not a whole"),
    "a header of 2^60 bytes": (
        content("model.safetensors", lambda b: struct.pack("<Q", 1 << 60) + b[8:]),
        "model.safetensors is not a whole",
    ),
    "a header that is no JSON": (content("model.safetensors", lambda b: b[:8] + b"[" + b[9:]), "not a whole"),
    "a shape that is not its bytes": (
        content("model.safetensors", lambda b: b.replace(b'"shape":[32]', b'"shape":[31]')),
        "not a whole",
    ),
    "weights that are a folder": (a_folder("model.safetensors"), "model.safetensors is not a file"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights as safetensors"),
    "a shard missing": (sharded({"a": "model-00002-of-00002.safetensors"}), "names model-00002.*, which is missing"),
    "a shard elsewhere": (sharded({"a": "../model.safetensors"}), "names a file outside of the folder"),
    "an index of numbers": (sharded({"a": 3}), "does not say in which file"),
    "an index that is a list": (sharded([1]), "does not say in which file"),
    "config empty": (content("config.json", b""), "config.json is not JSON"),
    "config cut off": (content("config.json", lambda b: b[:50]), "config.json is not JSON"),
    "config a list": (content("config.json", b"[1]"), "config.json holds a list"),
    "config in UTF-16": (content("config.json", lambda b: b.decode().encode("utf-16")), "not text in UTF-8"),
    "config of zeros": (content("config.json", bytes(100)), "config.json is not JSON"),
    "config of 100,000 brackets": (content("config.json", b"[" * 100_000), "config.json is (nested|not JSON)"),
    "config of 5 MB": (content("config.json", b" " * (5 << 20)), "config.json has 5 MB"),
    "config a folder": (a_folder("config.json"), "config.json is not a file"),
    "no architecture": (edit("config.json", model_type=None), "config.json: Architecture None is not known"),
    "a wrong architecture": (edit("config.json", model_type="lama"), "'lama' is not known.*Did you mean 'llama'"),
    "a number as architecture": (edit("config.json", model_type=[7]), "is not known"),
    "a size below zero": (edit("config.json", hidden_size=-1), "cannot be opened"),
    "a size in words": (edit("config.json", hidden_size="large"), "cannot be opened"),
    "no heads": (edit("config.json", num_attention_heads=0), "cannot be opened"),
    "10^7 layers": (edit("config.json", num_hidden_layers=10**7), "num_hidden_layers: 10,000,000, but the weights"),
    "a width of 10^6": (edit("config.json", hidden_size=10**6, head_dim=8), "describes a model of .* numbers"),
    "10^9 words": (edit("config.json", vocab_size=10**9), "describes a model of .* numbers"),
    "a layer too few": (edit("config.json", num_hidden_layers=3), "9 weights missing: model.layers.2.input_layernorm"),
    "a layer too many": (edit("config.json", num_hidden_layers=1), "not known to its configuration: model.layers.1"),
    "a weight missing": (weights(lambda t: t.pop(UP)), f"1 weight missing: {UP}"),
    "a weight more": (weights(lambda t: t.update(extra=torch.ones(3))), "1 weight not known .*: extra"),
    "a weight of another shape": (
        weights(lambda t: t.update({UP: torch.ones(5, 5)})),
        rf"1 weight of another shape: {UP} \(5, 5\) instead of \(48, 32\)",
    ),
    "a NaN": (with_value(UP, float("nan")), f"1 weight with infinities or NaN: {UP}"),
    "an infinity": (with_value(UP, float("-inf")), f"1 weight with infinities or NaN: {UP}"),
    "generation config cut off": (content("generation_config.json", lambda b: b[:20]), "generation_config.json is not"),
    "an adapter beside it": (content("adapter_config.json", b"{}"), "holds an adapter"),
}
TOKENIZERS: dict[str, tuple[Damage, str]] = {
    "cut off": (content("tokenizer.json", lambda b: b[:-300]), "cannot be opened"),
    "empty": (content("tokenizer.json", b""), "cannot be opened"),
    "binary": (content("tokenizer.json", random.Random(0).randbytes(5000)), "cannot be opened"),
    "a list": (content("tokenizer.json", b"[]"), "cannot be opened"),
    "without a model": (edit("tokenizer.json", model=None), "cannot be opened"),
    "a model of an unknown kind": (edit("tokenizer.json", model={"type": "New"}), "cannot be opened"),
    "300,000 added tokens": (
        edit("tokenizer.json", added_tokens=[{"id": 300 + i, "content": f"<{i}>"} for i in range(300_000)]),
        "adds 300,0.. tokens",
    ),
    "300,000 more in its settings": (
        edit("tokenizer_config.json", added_tokens_decoder={str(i): {"content": f"<{i}>"} for i in range(300_000)}),
        "tokenizer_config.json adds 300,000 tokens",
    ),
    "settings cut off": (content("tokenizer_config.json", lambda b: b[:-20]), "tokenizer_config.json is not JSON"),
    "settings a list": (content("tokenizer_config.json", b"[]"), "tokenizer_config.json holds a list"),
    "special tokens that are none": (content("special_tokens_map.json", b"{"), "special_tokens_map.json is not JSON"),
    "a template of 2 MB": (content("chat_template.jinja", b"x" * (2 << 20)), "chat_template.jinja has 2 MB"),
    "another template of 2 MB": (
        edit("tokenizer_config.json", chat_template="x" * (2 << 20)),
        "template has more",
    ),
    "none at all": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
}


def refused(open_it: Callable[[Path], object], folder: Path, said: str) -> None:
    began = time.process_time()
    with pytest.raises(TrainError, match=said) as found:
        open_it(folder)
    assert time.process_time() - began < 5
    assert "\n" not in str(found.value) and len(str(found.value)) < 700
    assert str(folder) in str(found.value), "a message says where"


@pytest.mark.parametrize("damage", MODELS)
def test_a_damaged_model(damage: str, folder: Path) -> None:
    do, said = MODELS[damage]
    do(folder)
    refused(load_model, folder, said)


@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_damaged_tokenizer(damage: str, folder: Path) -> None:
    do, said = TOKENIZERS[damage]
    do(folder)
    refused(load_tokenizer, folder, said)


def test_the_whole_folder_opens(folder: Path) -> None:
    model, tok = load_model(folder), load_tokenizer(folder)
    assert model.config.vocab_size == len(tok) == 300
    sharded(dict.fromkeys(model.state_dict(), "model-00001-of-00001.safetensors"))(folder)
    assert torch.equal(load_model(folder).get_parameter(UP), model.get_parameter(UP))


def test_a_fresh_model_that_cannot_be_built() -> None:
    for fields in ({"hidden_size": -1}, {"hidden_size": float("nan")}, {"num_attention_heads": "four"}):
        with pytest.raises(TrainError, match="no model can be made of this configuration"):
            load_model({"model_type": "llama", "vocab_size": 61, **SIZES, **fields})
    for kind in ("", "lama", 3, ["llama"]):
        with pytest.raises(TrainError, match="is not known to transformers"):
            load_model({"model_type": kind})


CODE = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "OwnTokenizer", None])
def test_code_that_comes_with_a_tokenizer_is_not_run(
    kind: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = folder.parent / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    edit("tokenizer_config.json", auto_map=CODE, tokenizer_class=kind)(folder)
    edit("config.json", auto_map=CODE)(folder)

    def asked(*given: object) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", asked)
    try:
        tok = load_tokenizer(folder)
        assert type(tok).__module__.startswith("transformers.")
    except TrainError as error:
        assert "Python code of its own, which is not run here" in str(error)
    assert type(load_model(folder)).__module__.startswith("transformers.")
    assert not marker.exists() and "y/N" not in capsys.readouterr().out


def test_a_configuration_cannot_name_kernels_to_fetch(folder: Path) -> None:
    """An attention called org/name would be fetched from the hub, and its code run."""
    edit("config.json", attn_implementation="eager", torch_dtype="float32")(folder)
    assert implementation(load_model(folder)) == "sdpa"
    for fields in (
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": {"text_config": "evil/kernel@main:run"}},
        {"text_config": {"experts_implementation": "evil/kernel"}},
    ):
        edit("config.json", **fields)(folder)
        refused(load_model, folder, "names 'evil/kernel.*' as .*: kernels that would be fetched")
        edit("config.json", attn_implementation=None, _attn_implementation=None)(folder)


@pytest.mark.full
def test_any_byte_may_be_wrong(folder: Path, whole: dict[str, bytes]) -> None:
    """A thousand folders with some bytes changed, cut or doubled: each opens or is refused in a line."""
    r = random.Random(1)
    names = [n for n in whole if n not in ("tunesmith.json",)]
    refusals = 0
    for _ in range(1000):
        name = r.choice(names)
        bad = bytearray(whole[name])
        for _ in range(r.choice((1, 4, 50))):
            at = r.randrange(min(len(bad), 3000))
            bad[at : at + r.choice((0, 1, 8))] = r.choice((b"", b"\x00", b"9", b"[", b'"', r.randbytes(4)))
        (folder / name).write_bytes(bytes(bad))
        for open_it in (load_model, load_tokenizer):
            try:
                open_it(folder)
            except TunesmithError as error:
                refusals += 1
                assert "\n" not in str(error) and str(folder) in str(error), error
        (folder / name).write_bytes(whole[name])
    assert refusals > 300
