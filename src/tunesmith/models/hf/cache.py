"""Reading tokens with a KV cache, whatever a release of transformers calls it.

    reading = Reading.of(model)                         tried on the model, once
    logits, cache = read(model, None, input_ids=prompt, attention_mask=mask, position_ids=positions)
    logits, cache = read(model, cache, input_ids=token, ...)
    select(cache, rows)                                 go on with these rows of the batch

The output field of the cache was ``past_key_values`` or ``cache_params`` before transformers 5.24, which calls it
``cache``. A model is tried on three tokens: the field that holds the cache is the one that comes back as the same
object when it is given again.

Shapes: B rows, S slots, K key/value heads, D head size.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from tunesmith.core.errors import EvalError
from tunesmith.models.hf.changed import Changed

_ARGUMENTS = ("cache", "past_key_values", "cache_params")
"""What releases have called the argument, for a model whose output calls it something else."""
_OPTIONAL = ("position_ids", "logits_to_keep")
"""Arguments that not every model takes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one model reads tokens with a cache."""

    output: str
    """The field of the output that holds the cache."""
    argument: str
    """The argument that takes it."""
    optional: frozenset[str]
    """Those of ``position_ids`` and ``logits_to_keep`` that the model takes."""
    plain: bool
    """Every layer keeps keys and values of all slots, and padding before a prompt changes nothing. So prompts of
    different lengths can share a batch, and states can be joined; a recurrent state would run over the padding."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Reading:
        """Found on the first call for a model, by reading three tokens."""
        if model not in _found:
            _found[model] = _try(model)
        return _found[model]


_found: weakref.WeakKeyDictionary[PreTrainedModel, Reading] = weakref.WeakKeyDictionary()


def read(
    model: PreTrainedModel, cache: Any, *, keep: int, positions: Tensor | None = None, **given: Any
) -> tuple[Tensor, Any]:
    """Read more tokens: the logits [B, keep, V] of the last ones, and the cache, which is changed in place."""
    how = Reading.of(model)
    optional = {"position_ids": positions, "logits_to_keep": keep}
    given |= {name: value for name, value in optional.items() if name in how.optional and value is not None}
    out = model(**given, use_cache=True, **({} if cache is None else {how.argument: cache}))
    found = out[how.output]
    if cache is not None and found is not cache:
        raise Changed(f"{type(model).__name__} did not go on from the cache that it was given.")
    return out.logits[:, -keep:], found


def last_logits(model: PreTrainedModel, keep: int, **given: Any) -> Tensor:
    """The logits [keep, V] of the last tokens of one row, without a cache."""
    kind = type(model)
    if _keeps.get(kind, True):
        try:
            out = model(**given, use_cache=False, logits_to_keep=keep)
        except TypeError:
            _keeps[kind] = False
    if not _keeps.setdefault(kind, True):
        out = model(**given, use_cache=False)
    logits: Tensor = out.logits[0, -keep:]
    return logits


_keeps: dict[type[PreTrainedModel], bool] = {}
"""Which models take ``logits_to_keep``."""


def encoded(states: Tensor) -> Any:
    """What an encoder has read, as the argument ``encoder_outputs`` of an encoder-decoder."""
    make: Any = BaseModelOutput
    return make(last_hidden_state=states)


def select(cache: Any, rows: Tensor) -> None:
    """Keep these rows of the batch, in this order; a row may be named more than once."""
    try:
        cache.reorder_cache(rows)
    except (AttributeError, TypeError):
        raise Changed(f"The rows of a {type(cache).__name__} cannot be chosen (reorder_cache).") from None
    first = next(iter(getattr(cache, "layers", None) or ()), None)
    held = getattr(first, "keys", None)
    if isinstance(held, Tensor) and len(held) != len(rows):
        raise Changed(f"A {type(cache).__name__} keeps {len(held)} rows where {len(rows)} were chosen.")


def repeated(cache: Any, count: int) -> Any:
    """A copy of the plain cache of one row, for ``count`` rows."""
    many = copy.deepcopy(cache)
    select(many, torch.zeros(count, dtype=torch.long, device=cache.layers[0].keys.device))
    return many


def join(mine: Any, theirs: Any, slots: tuple[int, int]) -> None:
    """Add the rows of another plain cache. ``slots`` says how many of the last slots of each are still needed; the
    shorter one is padded on the left."""
    longest = max(slots)
    for ours, other in zip(mine.layers, theirs.layers, strict=True):
        for name in ("keys", "values"):
            parts = []
            for layer, needed in zip((ours, other), slots, strict=True):
                held = getattr(layer, name)[:, :, -needed:]
                parts.append(torch.nn.functional.pad(held, (0, 0, longest - needed, 0)))
            setattr(ours, name, torch.cat(parts))


@torch.inference_mode()
def _try(model: PreTrainedModel) -> Reading:
    device = next(model.parameters()).device
    ids = torch.arange(3, device=device)[None] % model.config.get_text_config().vocab_size
    said: Mapping[str, Any] = {}
    name = "input_ids"
    if model.config.is_encoder_decoder:
        encoder: Any = model.get_encoder()
        name = "decoder_input_ids"
        said = {"encoder_outputs": encoded(encoder(input_ids=ids).last_hidden_state)}
    given = {**said, name: ids[:, :2], "use_cache": True}
    takes = set()
    for argument, value in zip(_OPTIONAL, (torch.arange(2, device=device)[None], 1), strict=True):
        if name == "input_ids":
            with suppress(TypeError):
                model(**given, **{argument: value})
                takes.add(argument)
    out = model(**given)
    fields = [field for field, value in out.items() if not isinstance(value, Tensor) and _holds_something(value)]
    for field in fields:
        for argument in dict.fromkeys((field, *_ARGUMENTS)):
            cache = copy.deepcopy(out[field])
            with suppress(TypeError, ValueError, AttributeError):
                given = {**said, name: ids[:, 2:], "use_cache": True, argument: cache}
                if model(**given).get(field) is cache:
                    plain = _is_plain(out[field], slots=2)
                    if plain and not model.config.is_encoder_decoder:
                        plain = _pads(model, ids, "position_ids" in takes)
                    return Reading(field, argument, frozenset(takes), plain)
    if not fields:
        raise EvalError(f"{type(model).__name__} gives no KV cache, so answers cannot be generated with it.")
    raise Changed(
        f"{type(model).__name__} gives a KV cache as {' or '.join(fields)}, but does not go on from it when it is "
        f"passed as {', '.join(dict.fromkeys((*fields, *_ARGUMENTS)))}."
    )


def _pads(model: PreTrainedModel, ids: Tensor, positions: bool) -> bool:
    """Whether a token of padding before a prompt [1, S], which the mask leaves out, changes nothing."""
    alone = model(input_ids=ids, use_cache=True).logits[0, -1].float()
    padded = torch.nn.functional.pad(ids, (1, 0))
    mask = torch.ones_like(padded)
    mask[:, 0] = 0
    place: dict[str, Tensor] = {"position_ids": (mask.cumsum(1) - 1).clamp_min(0)} if positions else {}
    try:
        beside = model(input_ids=padded, attention_mask=mask, use_cache=True, **place).logits[0, -1].float()
    except Exception:  # whatever it wants of a mask, it gets none
        return False
    allowed = 1e-3 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.06
    return float((alone - beside).abs().max()) <= allowed * float(alone.abs().max())


def _holds_something(value: Any) -> bool:
    return value is not None and not isinstance(value, tuple | list)


def _is_plain(cache: Any, slots: int) -> bool:
    """Whether every layer holds keys and values [1, K, slots, D] and nothing else that has a row for each prompt."""
    for layer in getattr(cache, "layers", None) or [None]:
        held = {name: t for name, t in getattr(layer, "__dict__", {}).items() if isinstance(t, Tensor) and t.ndim > 1}
        windowed = getattr(layer, "is_sliding", False)  # holds fewer slots than were read
        if set(held) != {"keys", "values"} or any(t.ndim != 4 for t in held.values()):
            return False
        if not windowed and any(t.shape[2] != slots for t in held.values()):
            return False
    return True
