"""Models in and out: any Hugging Face causal language model, by folder, hub id or configuration.

A folder written by ``save_model`` is a plain Hugging Face folder: weights, configuration, tokenizer files
as they came, and a generation configuration that knows where answers end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from tunesmith.errors import TrainError, nearest
from tunesmith.models.attention import NAME

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "tunesmith.json",
)

ModelSource = str | Path | Mapping[str, Any] | PretrainedConfig


def load_config(source: ModelSource) -> PretrainedConfig:
    """The configuration behind a folder, a hub id or a mapping such as ``{"model_type": "llama", ...}``."""
    if isinstance(source, PretrainedConfig):
        return source
    if isinstance(source, Mapping):
        return _config_of(source)
    name, revision = _place(source)
    with _plain_errors(name):
        config: PretrainedConfig = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    return config


def load_model(
    source: ModelSource, *, seed: int = 0, dtype: torch.dtype | None = torch.float32, attention: str | None = None
) -> PreTrainedModel:
    """Load weights from a folder or hub id, or make fresh ones from a configuration.

    Fresh weights depend on the configuration and ``seed`` alone, not on what else drew random numbers. ``dtype`` None
    is the one that the weights are stored in. ``attention`` is SDPA where the model knows it.
    """
    if attention is None:
        try:
            return load_model(source, seed=seed, dtype=dtype, attention="sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            return load_model(source, seed=seed, dtype=dtype, attention="eager")
    model: PreTrainedModel
    if isinstance(source, Mapping | PretrainedConfig):
        config = load_config(source)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            make: Any = _class_of(config)
            model = make.from_config(config, attn_implementation=attention)
        make = model
        moved: PreTrainedModel = make.to(dtype or config.dtype or torch.float32)
        return moved
    name, revision = _place(source)
    with _plain_errors(name):
        # No code of a model's own is run, and no pickle is opened: both could do anything.
        auto = _class_of(load_config(source))
        model = auto.from_pretrained(
            name,
            revision=revision,
            dtype=dtype or "auto",
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
        )
    return model


def _class_of(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def decoder_start(model: PreTrainedModel) -> int:
    """The token that every answer begins after; where a model names none it is its padding, as T5 has it."""
    for name in ("decoder_start_token_id", "pad_token_id"):
        for place in (model.generation_config, model.config):
            found = getattr(place, name, None)
            if found is not None:
                return int(found)
    raise TrainError(f"{type(model).__name__} does not say what its decoder starts with (decoder_start_token_id).")


def cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Hold the weights in ``dtype``; what a model computes for itself, as its positions' frequencies, stays exact."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def public_name(source: str | Path) -> str:
    """The name that others know a model by: of the hub's, where its folder lies in the hub's cache."""
    for part in Path(source).parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return str(source)


def _place(source: str | Path) -> tuple[str, str]:
    """A folder as it is; a name on the hub, and the revision that stands after its @ (``org/name@v1``)."""
    path = Path(source)
    looks_local = isinstance(source, Path) or path.is_absolute() or (os.sep in str(source) and path.parent.exists())
    if path.is_dir() or looks_local:
        if not (path / "config.json").exists():
            near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else None
            hint = f" Did you mean {path.parent / near}?" if near and near != path.name else ""
            raise TrainError(f"{path} is not a model folder (no config.json in it).{hint}")
        return str(source), "main"
    name, _, revision = str(source).partition("@")
    return name, revision or "main"


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """What transformers says at length, in a line with the next step."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = str(error)
        if "scaled_dot_product_attention" in text:
            raise
        if "trust_remote_code" in text or "custom code" in text:
            raise TrainError(
                f"{name} comes with Python code of its own, which is not run here. Use a model whose architecture "
                "transformers knows."
            ) from None
        if "safetensors" in text:
            raise TrainError(
                f"{name} has no weights as safetensors; other files can run code when they are opened. Convert them: "
                "load the model with transformers where you trust it, and save_pretrained it."
            ) from None
        if isinstance(error, OSError):
            raise TrainError(
                f"{name} is neither a folder with a model nor a model of the hub that can be reached: "
                f"{text.splitlines()[0]}"
            ) from None
        raise


def save_model(
    model: PreTrainedModel,
    folder: str | Path,
    *,
    tokenizer_dir: str | Path | None = None,
    stop_ids: Sequence[int] = (),
) -> Path:
    """Write a plain Hugging Face folder. It appears whole or not at all."""
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    implementation = model.config._attn_implementation
    if implementation == NAME:  # ours is a way to train; it is not written into the folder
        model.set_attn_implementation("eager")
    try:
        if stop_ids:
            stops = sorted(int(i) for i in stop_ids)
            make: Any = GenerationConfig
            base = model.generation_config or make()
            base.eos_token_id = stops if len(stops) > 1 else stops[0]
            model.generation_config = base
        if model.config.is_encoder_decoder and model.generation_config is not None:
            model.generation_config.decoder_start_token_id = decoder_start(model)
        model.save_pretrained(part)
    finally:
        if implementation == NAME:
            model.set_attn_implementation(implementation)
    if tokenizer_dir is not None:
        for name in TOKENIZER_FILES:
            file = Path(tokenizer_dir) / name
            if file.exists():
                shutil.copyfile(file, part / name)
    old = folder.with_name(f".{folder.name}.old{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def _config_of(fields: Mapping[str, Any]) -> PretrainedConfig:
    values = dict(fields)
    kind = values.pop("model_type", None)
    if kind is None:
        raise TrainError('A model configuration names its architecture, for example "model_type": "llama".')
    try:
        config: PretrainedConfig = AutoConfig.for_model(kind, **values)
    except ValueError:
        from transformers.models.auto import configuration_auto

        known: Any = configuration_auto
        near = nearest(kind, known.CONFIG_MAPPING_NAMES)
        hint = f" Did you mean {near!r}?" if near else ""
        raise TrainError(f"Architecture {kind!r} is not known to transformers.{hint}") from None
    unknown = [k for k in values if k not in type(config)().to_dict()]
    if unknown:
        near = nearest(unknown[0], type(config)().to_dict())
        hint = f" Did you mean {near!r}?" if near else ""
        raise TrainError(f"{type(config).__name__} has no setting {unknown[0]!r}.{hint}")
    return config
