"""Another attention function in a model of transformers, and its own again.

register("mine", function)
exchange(model, "mine")          False where the model goes on with its own
with own_attention(model): ...   for what is not trained: generation, saving, comparing
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AttentionInterface, PreTrainedModel

_own: weakref.WeakKeyDictionary[PreTrainedModel, str] = weakref.WeakKeyDictionary()
"""What a model had before its attention was exchanged."""


def register(name: str, function: Callable[..., Any]) -> None:
    """Make an attention function known by name."""
    AttentionInterface.register(name, function)


def exchange(model: PreTrainedModel, name: str) -> bool:
    """Give a model a registered attention. False where it keeps its own; whether the function is called at all shows
    only when the model runs."""
    before = implementation(model)
    try:
        model.set_attn_implementation(name)
    except (ValueError, AttributeError, NotImplementedError):
        return False
    if implementation(model) != name:  # some releases warn, and leave the model as it is
        return False
    if before is not None and before != name:
        _own[model] = before
    return True


def restore(model: PreTrainedModel) -> None:
    """Give a model back the attention that it had."""
    if model in _own:
        model.set_attn_implementation(_own.pop(model))


@contextmanager
def own_attention(model: PreTrainedModel) -> Iterator[None]:
    """The model with its own attention, for a while."""
    name = implementation(model)
    exchanged = model in _own and name is not None
    restore(model)
    try:
        yield
    finally:
        if exchanged and name is not None:
            exchange(model, name)


def implementation(model: PreTrainedModel) -> str | None:
    """The name of the attention that a model has. There is no public way to ask."""
    name: str | None = getattr(model.config, "_attn_implementation", None)
    return name
