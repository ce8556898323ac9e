"""Models in and out: any Hugging Face causal language model, by folder, hub id or configuration.

A folder written by ``save_model`` is a plain Hugging Face folder: weights, configuration, tokenizer files
as they came, and a generation configuration that knows where answers end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel

from tunesmith.errors import TrainError, nearest

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
    config: PretrainedConfig = AutoConfig.from_pretrained(source)
    return config


def load_model(
    source: ModelSource, *, seed: int = 0, dtype: torch.dtype = torch.float32, attention: str = "sdpa"
) -> PreTrainedModel:
    """Load weights from a folder or hub id, or make fresh ones from a configuration.

    Fresh weights depend on the configuration and ``seed`` alone, not on what else drew random numbers.
    """
    model: PreTrainedModel
    if isinstance(source, Mapping | PretrainedConfig):
        config = load_config(source)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            make: Any = AutoModelForCausalLM
            model = make.from_config(config, attn_implementation=attention)
        make = model
        moved: PreTrainedModel = make.to(dtype)
        return moved
    path = Path(source)
    looks_local = isinstance(source, Path) or path.is_absolute() or (os.sep in str(source) and path.parent.exists())
    if looks_local and not (path / "config.json").exists():
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else None
        hint = f" Did you mean {path.parent / near}?" if near else ""
        raise TrainError(f"{path} is not a model folder (no config.json in it).{hint}")
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, attn_implementation=attention)
    return model


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
    model.set_attn_implementation("sdpa")
    try:
        if stop_ids:
            stops = sorted(int(i) for i in stop_ids)
            make: Any = GenerationConfig
            base = model.generation_config or make()
            base.eos_token_id = stops if len(stops) > 1 else stops[0]
            model.generation_config = base
        model.save_pretrained(part)
    finally:
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
