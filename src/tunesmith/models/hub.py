"""Models of the hub: fetched once into the hub's own cache, and from there used as any other folder."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.errors import TrainError

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def fetch(repository: str, revision: str | None = None) -> Path:
    """The folder of a model of the hub, such as ``Qwen/Qwen3-0.6B``. Weights as safetensors, configuration and
    tokenizer are fetched, and no code."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def fetched(local: bool) -> Path:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_FILES, local_files_only=local))

    try:
        try:
            return fetched(local=False)
        except HfHubHTTPError:
            raise
        except OSError:  # some versions ask the hub for what the cache holds whole, and fail without a network
            return fetched(local=True)
    except LocalEntryNotFoundError:
        raise TrainError(
            f"{repository} is not in the hub's cache, and the hub cannot be reached. Fetch it where there is a "
            f"network: hf download {repository}"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainError(f"{repository} cannot be fetched from the hub: {lines[0]}") from None
