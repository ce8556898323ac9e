"""Opening what a model's folder holds with transformers. No code of a model's own runs, and nobody is asked whether it
may: ``trust_remote_code`` is False in each call, and there is no other call in tunesmith.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    logging,
)

from tunesmith.models.hf.changed import Changed

_LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


@dataclass(frozen=True, slots=True)
class Report:
    """How the weights of a folder fit the model that its configuration describes, by the names of weights."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    """``name (5, 5) instead of (48, 32)``"""


def architectures() -> list[str]:
    """The architectures that transformers knows, as ``model_type`` names them."""
    return sorted(CONFIG_MAPPING.keys())


def open_config(folder: Path) -> PretrainedConfig:
    """The configuration of a folder."""
    config: PretrainedConfig = AutoConfig.from_pretrained(folder, **_LOCAL)
    return config


def make_config(model_type: str, settings: dict[str, Any]) -> PretrainedConfig:
    """The configuration of an architecture."""
    config: PretrainedConfig = AutoConfig.for_model(model_type, **settings)
    return config


def build(config: PretrainedConfig, *, attention: str | None = None, empty: bool = False) -> PreTrainedModel:
    """A model with fresh weights. An ``empty`` one has no values at all, and takes no memory."""
    auto: Any = _auto(config)

    def make(attention: str) -> PreTrainedModel:
        with torch.device("meta" if empty else "cpu"), _quiet():
            model: PreTrainedModel = auto.from_config(config, attn_implementation=attention)
        return model

    made: PreTrainedModel = _with_attention(attention, make)
    return made


def open_weights(
    folder: Path, config: PretrainedConfig, *, dtype: torch.dtype | None, attention: str | None = None
) -> tuple[PreTrainedModel, Report]:
    """The model of a folder, and how its weights fit. ``dtype`` None is the one that they are stored in."""
    auto: Any = _auto(config)

    def make(attention: str) -> tuple[PreTrainedModel, Any]:
        with _quiet():
            found: tuple[PreTrainedModel, Any] = auto.from_pretrained(
                folder,
                **_LOCAL,
                use_safetensors=True,  # no pickle is opened: it could do anything
                dtype=dtype or "auto",
                attn_implementation=attention,
                ignore_mismatched_sizes=True,  # they are reported, by name
                output_loading_info=True,
            )
        return found

    model, info = _with_attention(attention, make)
    if not {"missing_keys", "unexpected_keys", "mismatched_keys"} <= set(info):
        raise Changed("Loading a model no longer says which weights are missing (output_loading_info).")
    wrong = tuple(f"{name} {tuple(is_)} instead of {tuple(should)}" for name, is_, should in info["mismatched_keys"])
    broken = tuple(str(name) for name in info.get("conversion_errors", ()))
    missing, unexpected = (tuple(sorted(info[name])) for name in ("missing_keys", "unexpected_keys"))
    return model, Report((*missing, *broken), unexpected, tuple(sorted(wrong)))


def open_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder."""
    with _quiet():
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    return found


def _auto(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _with_attention(attention: str | None, make: Callable[[str], Any]) -> Any:
    """With the attention of torch where the model knows it, else with its own."""
    if attention is not None:
        return make(attention)
    try:
        return make("sdpa")
    except Exception as error:
        try:
            return make("eager")
        except Exception:  # so it was not the attention
            raise error from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of transformers: what matters of them is in the report."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)
