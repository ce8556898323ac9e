"""What a model's folder holds, looked at before anything opens it.

A folder may come from anywhere. Its files are read here without building anything from them: sizes first, then JSON,
then the headers of the weights. So a damaged file is named in one line, and a configuration that asks for ten million
layers is refused before somebody builds them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tunesmith.core.errors import TrainError

CONFIG_BYTES = 4 << 20
INDEX_BYTES = 128 << 20
TOKENIZER_BYTES = 256 << 20
TEMPLATE_BYTES = 1 << 20
"""The largest files that are read of each kind; those in use are ten times smaller or more."""
ADDED_TOKENS = 100_000
"""As many added tokens as a tokenizer may have: they are matched one by one. Known models have up to 30,000."""
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")


@dataclass(frozen=True, slots=True)
class Stored:
    """A model's folder."""

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    """Of each tensor of the weights."""

    @property
    def numbers(self) -> int:
        """How many the weights hold in all."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration of a model's folder; one that only code of the model's own could read is refused."""
    config = json_object(folder / "config.json", CONFIG_BYTES)
    for name, value in _kernels(config):
        raise TrainError(
            f"{folder / 'config.json'} names {value!r} as {name}: kernels that would be fetched from the hub and run. "
            "Take the setting away; the model is then computed with torch."
        )
    return config


def stored(folder: Path) -> Stored:
    """The folder's configuration and the shapes of its weights. Every file is whole, and no number in the configuration
    asks for more layers than there are tensors."""
    config = config_of(folder)
    if (folder / "generation_config.json").exists():  # transformers goes on without a damaged one, and so without stops
        json_object(folder / "generation_config.json", CONFIG_BYTES)
    if (folder / "adapter_config.json").exists():
        raise TrainError(
            f"{folder} holds an adapter (adapter_config.json) beside a configuration, so it is not clear which weights "
            "are meant. Merge the adapter into its base model, or take its files away."
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(folder):
        shapes |= _shapes(file)
    if not shapes:
        raise TrainError(f"{folder} has weights without a single tensor.")
    for name, count in _layers(config):
        if count > len(shapes):
            raise TrainError(
                f"{folder / 'config.json'} says {name}: {count:,}, but the weights hold {len(shapes):,} tensors in all."
            )
    return Stored(config, shapes)


def has_tokenizer(folder: Path) -> bool:
    """Whether there is a vocabulary in a folder."""
    return any(True for pattern in _VOCABULARIES for _ in folder.glob(pattern))


def check_tokenizer(folder: Path) -> dict[str, Any]:
    """See to it that a tokenizer's files are of a size that can be read; its settings."""
    if not has_tokenizer(folder):
        raise TrainError(f"{folder} has no tokenizer (none of {', '.join(_VOCABULARIES)}).")
    settings: dict[str, Any] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            found = json_object(folder / name, TOKENIZER_BYTES)
            settings = found if name == "tokenizer_config.json" else settings
            many = found.get("added_tokens_decoder", {}) if name == "tokenizer_config.json" else found
            _check_added(folder / name, len(many) if isinstance(many, dict | list) else 0)
    if (folder / "tokenizer.json").exists():
        text = read(folder / "tokenizer.json", TOKENIZER_BYTES)
        _check_added(folder / "tokenizer.json", text.count(b'"content"'))
    for file in folder.glob("*.jinja"):
        read(file, TEMPLATE_BYTES)
    template = settings.get("chat_template")
    if template is not None and len(str(template)) > TEMPLATE_BYTES:
        raise TrainError(
            f"{folder / 'tokenizer_config.json'}: the chat template has more than {_size(TEMPLATE_BYTES)}."
        )
    return settings


def read(file: Path, most: int) -> bytes:
    """The bytes of a file of a reasonable size."""
    if not file.is_file():
        what = "is not a file" if file.exists() else "is missing"
        raise TrainError(f"{file} {what}.")
    size = file.stat().st_size
    if size > most:
        raise TrainError(
            f"{file} has {_size(size)}; such a file has {_size(most)} at most. Look whether it is damaged."
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise TrainError(f"{file} cannot be read: {error.strerror}.") from None


def json_object(file: Path, most: int) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        found = json.loads(read(file, most).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TrainError(f"{file} is not text in UTF-8 (byte {error.start}). Copy it again.") from None
    except RecursionError:
        raise TrainError(f"{file} is nested too deeply to be read. Copy it again.") from None
    except ValueError as error:
        raise TrainError(f"{file} is not JSON: {error}. It may be cut off: copy it again.") from None
    if not isinstance(found, dict):
        raise TrainError(f"{file} holds a {type(found).__name__}, not an object of settings.")
    return found


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).exists():
        return [folder / _WEIGHTS]
    if not (folder / _INDEX).exists():
        raise TrainError(
            f"{folder} has no weights as safetensors; other files can run code when they are opened. Convert them: "
            "load the model with transformers where you trust it, and save_pretrained it."
        )
    names = json_object(folder / _INDEX, INDEX_BYTES).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise TrainError(f"{folder / _INDEX} does not say in which file each weight is (weight_map).")
    files = sorted(set(names.values()))
    for name in files:
        if Path(name).name != name:
            raise TrainError(f"{folder / _INDEX} names a file outside of the folder: {name!r}.")
        if not (folder / name).is_file():
            raise TrainError(f"{folder / _INDEX} names {name}, which is missing. Copy the folder again.")
    return [folder / name for name in files]


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a file, from its header."""
    if not file.is_file():
        raise TrainError(f"{file} is not a file.")
    try:
        with safe_open(file, "pt") as f:
            return {name: tuple(f.get_slice(name).get_shape()) for name in f.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise TrainError(
            f"{file} is not a whole safetensors file ({_size(file.stat().st_size)}): {first_line(error)}. It may be "
            "cut off: copy it again."
        ) from None


def _kernels(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The settings that name code of the hub, ``org/name``, in place of an implementation."""
    for name, value in config.items():
        for one in value.values() if isinstance(value, dict) else [value]:
            if "implementation" in name and isinstance(one, str) and ("/" in one or ":" in one):
                yield name, one
        if isinstance(value, dict):
            yield from _kernels(value)


def _layers(config: dict[str, Any]) -> list[tuple[str, int]]:
    """The settings that say how many layers there are, also of parts."""
    found = []
    for name, value in config.items():
        if isinstance(value, dict):
            found += _layers(value)
        elif "layer" in name and "per_layer" not in name and isinstance(value, int) and not isinstance(value, bool):
            found.append((name, value))
    return found


def _check_added(file: Path, count: int) -> None:
    if count > ADDED_TOKENS:
        raise TrainError(f"{file} adds {count:,} tokens, more than the {ADDED_TOKENS:,} that can be matched in time.")


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1 << 20 else f"{count / (1 << 20):,.0f} MB"


def first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
    return (kind + " ".join(lines[:3]))[:300].rstrip(". :")
