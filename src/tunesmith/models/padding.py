"""Which token pads: one that is never learned as the end of an answer.

Whoever trains a model further leaves padding out of the loss by its id. Were that the id of the end, no end would be
learned, and answers would never stop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SPARE = ("reserved", "unused", "extra_id", "placeholder")


def padding(tok: PreTrainedTokenizerBase, model: PreTrainedModel, stop_ids: Iterable[int]) -> int | None:
    """The id of a token to pad with: the tokenizer's or the model's own, else one that is spare, else a control token
    that begins something. None where every special token is an end."""
    asked: Any = tok
    embeddings: Any = model.get_input_embeddings()
    rows = int(embeddings.num_embeddings)
    ends = {*map(int, stop_ids), *_ids(asked.eos_token_id)}
    for place in (model.config, model.generation_config):
        ends.update(_ids(getattr(place, "eos_token_id", None)))
    added = sorted(asked.get_added_vocab().items(), key=lambda pair: pair[1])
    special = {i for i, token in asked.added_tokens_decoder.items() if token.special}
    candidates = [
        *_ids(asked.pad_token_id),
        *_ids(getattr(model.config, "pad_token_id", None)),
        *(i for text, i in added if "pad" in text.lower()),
        *(i for text, i in added if any(word in text.lower() for word in _SPARE)),
        *_ids(asked.unk_token_id),
        *_ids(asked.bos_token_id),
        *(i for _, i in added if i in special),
    ]
    return next((i for i in candidates if i not in ends and 0 <= i < min(rows, len(asked))), None)


def say_padding(folder: Path, token: str) -> None:
    """Write the padding token into the settings of a tokenizer's folder; its other files stay as they came."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = folder / name
        if file.exists():
            settings = json.loads(file.read_text(encoding="utf-8"))
            if name == "tokenizer_config.json" or "pad_token" in settings:
                settings["pad_token"] = token
                file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _ids(found: Any) -> list[int]:
    many = found if isinstance(found, list | tuple) else [found]
    return [int(i) for i in many if isinstance(i, int)]
