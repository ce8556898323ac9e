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
import transformers
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

from tunesmith.core.errors import TrainError, TunesmithError, counted, nearest
from tunesmith.core.whole import whole_folder
from tunesmith.models.hf import loading
from tunesmith.models.hf.attention import own_attention
from tunesmith.models.hub import fetch
from tunesmith.models.padding import padding, say_padding
from tunesmith.models.stored import Stored, config_of, first_line, has_tokenizer, stored
from tunesmith.models.tokenizer import load_tokenizer

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
    folder = _folder(source)
    fields = config_of(folder)
    kind = fields.get("model_type")
    if kind not in loading.architectures():
        if fields.get("auto_map"):
            raise TrainError(
                f"{folder} comes with Python code of its own, which is not run here. Use a model whose architecture "
                "transformers knows."
            )
        raise TrainError(f"{folder / 'config.json'}: {_unknown(kind)}")
    with _in_a_line(folder / "config.json"):
        return loading.open_config(folder)


def load_model(
    source: ModelSource, *, seed: int = 0, dtype: torch.dtype | None = torch.float32, attention: str | None = None
) -> PreTrainedModel:
    """Load weights from a folder or hub id, or make fresh ones from a configuration.

    Fresh weights depend on the configuration and ``seed`` alone, not on what else drew random numbers. ``dtype`` None
    is the one that the weights are stored in. ``attention`` is SDPA where the model knows it. Weights that are missing,
    not expected, of another shape or not finite are refused by name.
    """
    if isinstance(source, Mapping | PretrainedConfig):
        config = load_config(source)
        with torch.random.fork_rng(devices=[]), _made_of_settings():
            torch.manual_seed(seed)
            made: Any = loading.build(config, attention=attention)
        fresh: PreTrainedModel = made.to(dtype or config.dtype or torch.float32)
        return _all_rows_learn(fresh)
    folder = _folder(source)
    config, held = load_config(folder), stored(folder)
    with _in_a_line(folder):
        _check_size(folder, config, held)
        model, report = loading.open_weights(folder, config, dtype=dtype, attention=attention)
    wrong = [
        f"{counted(len(names), 'weight')} {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for names, what in (
            (report.missing, "missing"),
            (report.unexpected, "not known to its configuration"),
            (report.misshapen, "of another shape"),
            (not_finite(model), "with infinities or NaN"),
        )
        if names
    ]
    if wrong:
        raise TrainError(
            f"The weights in {folder} are not those of the model that its config.json describes. {'; '.join(wrong)}. "
            "Copy the folder again, or look which of the two is wrong."
        )
    return _all_rows_learn(model)


def _all_rows_learn(model: PreTrainedModel) -> PreTrainedModel:
    """Torch gives the row of a padding token no gradient. Nothing is padded here, and many models pad with a token that
    means something, so that it would never be learned."""
    embeddings = model.get_input_embeddings()
    if isinstance(embeddings, torch.nn.Embedding):
        embeddings.padding_idx = None
    return model


def not_finite(model: PreTrainedModel) -> list[str]:
    """The names of the weights that hold infinities or NaN."""
    found = []
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and tensor.element_size() > 1:
            least, most = torch.aminmax(tensor)  # one pass, no copy; NaN wins
            if not (torch.isfinite(least) and torch.isfinite(most)):
                found.append(name)
    return found


def _check_size(folder: Path, config: PretrainedConfig, held: Stored) -> None:
    """Refuse a model that is much larger than the weights, before it takes the memory."""
    if getattr(config, "quantization_config", None):  # several weights in a number
        return
    empty = loading.build(config, empty=True)
    weights, others = (sum(t.numel() for t in many) for many in (empty.parameters(), empty.buffers()))
    if weights > 1.5 * held.numbers + 1e6:
        missing = [name for name, _ in empty.named_parameters() if name not in held.shapes]
        names = f", among them {', '.join(missing[:3])}" if missing else ""
        raise TrainError(
            f"{folder / 'config.json'} describes a model of {weights:,} numbers, but the weights hold "
            f"{held.numbers:,}: {counted(len(missing), 'weight')} missing{names}."
        )
    if others > 4 * weights + 1e9:
        raise TrainError(f"{folder / 'config.json'} asks for {others:,} numbers beside the {weights:,} of its weights.")


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


def _folder(source: str | Path) -> Path:
    """A folder as it is; a name on the hub, and the revision that stands after its @ (``org/name@v1``), is fetched."""
    path = Path(source)
    looks_local = isinstance(source, Path) or path.is_absolute() or (os.sep in str(source) and path.parent.exists())
    if path.is_dir() or looks_local:
        if not (path / "config.json").exists():
            near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else None
            hint = f" Did you mean {path.parent / near}?" if near and near != path.name else ""
            raise TrainError(f"{path} is not a model folder (no config.json in it).{hint}")
        return path
    name, _, revision = str(source).partition("@")
    try:
        return fetch(name, revision or None)
    except TrainError as error:
        raise TrainError(f"{source} is not a folder with a model, and as a model of the hub: {error}") from None


@contextmanager
def _in_a_line(what: object) -> Iterator[None]:
    """Whatever transformers raises, in a line with what was opened and the next step."""
    try:
        yield
    except TunesmithError:
        raise
    except Exception as error:
        raise TrainError(
            f"{what} cannot be opened with transformers {transformers.__version__}: {first_line(error)}. Look whether "
            "its configuration is damaged."
        ) from None


@contextmanager
def _made_of_settings() -> Iterator[None]:
    """The same, where the settings are somebody's own."""
    try:
        yield
    except TunesmithError:
        raise
    except Exception as error:
        raise TrainError(f"no model can be made of this configuration: {first_line(error)}") from None


def save_model(
    model: PreTrainedModel,
    folder: str | Path,
    *,
    tokenizer_dir: str | Path | None = None,
    stop_ids: Sequence[int] = (),
) -> Path:
    """Write a plain Hugging Face folder. It appears whole or not at all."""
    folder = Path(folder)
    make: Any = GenerationConfig
    model.generation_config = model.generation_config or make()
    if model.config.is_encoder_decoder:  # which may be what pads until now
        model.generation_config.decoder_start_token_id = decoder_start(model)
    pad = None
    if tokenizer_dir is not None and has_tokenizer(Path(tokenizer_dir)):
        tok = load_tokenizer(tokenizer_dir)
        pad = padding(tok, model, stop_ids)
        for place in (model.config, model.config.get_text_config(), model.generation_config):
            place.pad_token_id = pad  # also where it was the end until now
    if stop_ids:
        stops = sorted(int(i) for i in stop_ids)
        model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    with whole_folder(folder) as part:
        with own_attention(model):  # ours is a way to train; it is not written into the folder
            model.save_pretrained(part)
        if tokenizer_dir is not None:
            for name in TOKENIZER_FILES:
                file = Path(tokenizer_dir) / name
                if file.exists():
                    shutil.copyfile(file, part / name)
            if pad is not None:
                say_padding(part, str(tok.convert_ids_to_tokens(pad)))
    return folder


def _config_of(fields: Mapping[str, Any]) -> PretrainedConfig:
    values = dict(fields)
    kind = values.pop("model_type", None)
    if kind is None:
        raise TrainError('A model configuration names its architecture, for example "model_type": "llama".')
    if kind not in loading.architectures():
        raise TrainError(_unknown(kind))
    with _made_of_settings():
        config = loading.make_config(kind, values)
        known = type(config)().to_dict()
    unknown = [name for name in values if name not in known and not _shapes_follow(kind, values, name)]
    if unknown:
        near = nearest(unknown[0], known)
        hint = f" Did you mean {near!r}?" if near else ""
        raise TrainError(f"{type(config).__name__} has no setting {unknown[0]!r}.{hint}")
    return config


def _shapes_follow(kind: str, values: dict[str, Any], name: str) -> bool:
    """Whether a setting that the configuration does not declare is read all the same, as head_dim of Qwen 3 MoE."""
    with _made_of_settings():
        models = [
            loading.build(loading.make_config(kind, fields), empty=True)
            for fields in (values, {k: v for k, v in values.items() if k != name})
        ]
    found, without = ({n: p.shape for n, p in model.named_parameters()} for model in models)
    return found != without


def _unknown(kind: Any) -> str:
    near = nearest(str(kind), loading.architectures())
    hint = f" Did you mean {near!r}?" if near else ""
    return f"Architecture {kind!r} is not known to transformers {transformers.__version__}.{hint}"
