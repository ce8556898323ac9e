"""Models of the hub in a recipe: ``model: hub:org/name`` or ``hub:org/name@revision``.

Weights as safetensors, configuration and tokenizer are fetched once into the hub's own cache; from there the folder is
used as any other. A branch is looked up again at each run, and a stage whose branch has moved on runs again; give a
revision where that is not wanted. Private models need a token: ``hf auth login``.
"""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.document import path_of
from tunesmith.errors import RecipeError

PREFIX = "hub:"
_NAME = re.compile(r"hub:[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def problem(name: str) -> str:
    """What is wrong with a name that begins with hub:, if anything is."""
    return "" if _NAME.fullmatch(name) else f"{name!r} is not hub:owner/model or hub:owner/model@revision"


def is_folder(name: str) -> bool:
    """Whether a reference names a folder that is there; a name that no folder can have is none."""
    try:
        return path_of(name).is_dir()
    except RecipeError:
        return False


def place(name: str) -> Path:
    """Where the folder is that a recipe means: a model of the hub is fetched if need be."""
    if not name.startswith(PREFIX):
        return path_of(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = name.removeprefix(PREFIX).partition("@")

    def fetched(local: bool) -> Path:
        found = snapshot_download(repository, revision=revision or None, allow_patterns=_FILES, local_files_only=local)
        return Path(found)

    try:
        try:
            return fetched(local=False)
        except HfHubHTTPError:
            raise
        except OSError:  # some versions ask the hub for what the cache holds whole, and fail without a network
            return fetched(local=True)
    except LocalEntryNotFoundError:
        raise RecipeError(
            f"{name} is not in the cache, and the hub cannot be reached. Fetch it where there is a network: "
            f"hf download {repository}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise RecipeError(f"{name} cannot be fetched: {str(error).strip().splitlines()[0]}") from None
