"""Tokenizers in: the one way to open the tokenizer of a folder."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.models.hf.loading import open_tokenizer
from tunesmith.models.stored import check_tokenizer, first_line


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's or tokenizer's folder. Code that comes with it is never run."""
    folder = Path(folder)
    if not folder.is_dir():
        raise TrainError(f"{folder} is not a folder with a tokenizer.")
    settings = check_tokenizer(folder)
    try:
        return open_tokenizer(folder)
    except TunesmithError:
        raise
    except Exception as error:
        if settings.get("auto_map"):
            raise TrainError(
                f"The tokenizer of {folder} comes with Python code of its own, which is not run here. Convert it where "
                "you trust it: load it with transformers, and save_pretrained it as a fast tokenizer (tokenizer.json)."
            ) from None
        raise TrainError(
            f"The tokenizer of {folder} cannot be opened: {first_line(error)}. Its files may be damaged: copy them "
            "again."
        ) from None
