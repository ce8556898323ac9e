"""Settings of a model's configuration, whatever class it has.

Configurations are public data, but their classes are not plain: some keep a value for each layer and refuse to give
"the" value, some have other names for the same thing. A setting that cannot be read counts as not given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transformers import PretrainedConfig

_RULES = ("window", "chunk", "block_size", "local_radius", "original_max_position", "floor_scale", "max_seq_len")
"""Parts of the names of settings that say from which distance on a model computes something else."""


def setting(config: PretrainedConfig, name: str, default: Any = None) -> Any:
    """A setting of the language model; ``default`` where there is none, or one for each layer."""
    text = config.get_text_config()
    try:
        return getattr(text, name, default)
    except Exception:  # a configuration of layers that differ raises an error of its own class
        return text.to_dict().get(name, default)


def number(config: PretrainedConfig, name: str) -> int:
    """A whole number; the mean of one for each layer, and 0 where there is none."""
    found = setting(config, name)
    many = [n for n in (found if isinstance(found, list | tuple) else [found]) if isinstance(n, int | float)]
    return round(sum(many) / len(many)) if many else 0


def reach(config: PretrainedConfig) -> int:
    """The longest distance after which some rule of the model acts: a sliding window, a chunk, a change of its rotary
    positions. 0 where it has none."""
    return max(_rules(config.to_dict()), default=0)


def windowed(config: PretrainedConfig) -> bool:
    """Whether some layer does not look at every earlier slot, so that a slot of padding between tokens counts."""
    text = config.get_text_config().to_dict()
    local = any("window" in name or "chunk" in name for name, _ in _limits(text))
    return local or any("local" in str(kind) or "sliding" in str(kind) for kind in text.get("layer_types") or ())


def _limits(values: dict[str, Any], names: tuple[str, ...] = _RULES) -> Iterator[tuple[str, int]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _limits(value, names)
        elif isinstance(value, int) and value > 0 and not isinstance(value, bool) and any(n in name for n in names):
            yield name, value


def _rules(values: dict[str, Any]) -> Iterator[int]:
    return (value for _, value in _limits(values))
