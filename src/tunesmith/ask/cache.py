"""What models have answered before, so that no question is asked twice and no answer is another model's.

    cache = Cache(folder / "answers.sqlite")
    seen = cache.of(model, model_dir)                 this model's part
    seen.generate(prompts, stop_ids=..., ...)         as ``generate``, but only what is new is computed
    seen.rank_options(prompts, options)

An answer is found under a digest of all that decides it: the bytes of the weights and of the tokenizer, the type that
the model computes in, the ids of the prompt (and with them the chat template), of the options or the stop tokens, how
many tokens it may say, how it is sampled, and the versions of the engine, torch and transformers. One alone asked is
not one asked in company: ``alone`` is part of it too. Each answer is in the file before the next one is looked at.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from tunesmith.core.errors import EvalError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.models.generate import Generated, Ids, Progress, Sampling

ENGINE = 1
"""Raised when ``generate`` or ``rank_options`` begin to answer otherwise."""
_ANSWER = TypeAdapter(tuple[list[int], bool])
_SCORES = TypeAdapter(list[float])
_WEIGHTS = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json")


class Cache:
    """A file of answers of any models. Several processes may use it at once."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with self._trouble():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Used by one thread at a time, which need not be the one that opened it.
            self._file = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def of(self, model: PreTrainedModel, folder: Path) -> Answers:
        """The answers of one model, whose files are in a folder."""
        return Answers(self, model, _digest_of(model, folder))

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """What is known under some keys. A value that is damaged is not known."""
        found: dict[bytes, Any] = {}
        with self._lock, self._trouble():
            for a in range(0, len(keys), 500):
                part = keys[a : a + 500]
                marks = ",".join("?" * len(part))
                for key, value in self._file.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", part):
                    with suppress(ValueError, TypeError, RecursionError):
                        found[key] = json.loads(value)
        return found

    def keep(self, key: bytes, value: Any) -> None:
        """Remember a value. When this returns it is in the file, and no kill of the process takes it away."""
        with self._lock, self._trouble():
            row = (key, json.dumps(value))
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", row)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """What may be wrong with the file, in words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise EvalError(
                f"{self.path} cannot be read or written ({error}), so answers would be lost. Is the disk full, or the "
                "folder read-only?"
            ) from None
        except sqlite3.DatabaseError as error:
            raise EvalError(f"{self.path} is not a file of answers ({error}). Delete it, or name another.") from None
        except OSError as error:
            raise EvalError(f"{self.path} cannot be made ({error.strerror}). Name another place.") from None


class Answers:
    """What one model answers, known or not."""

    def __init__(self, cache: Cache, model: PreTrainedModel, digest: bytes) -> None:
        self._cache, self._model, self._digest = cache, model, digest
        self.known = self.asked = 0
        """How many were known, and how many were asked."""

    def generate(
        self,
        prompts: Sequence[Ids],
        *,
        stop_ids: frozenset[int],
        max_new_tokens: int,
        sampling: Sampling | None = None,
        alone: bool = False,
        until: Callable[[Sequence[int]], bool] | None = None,
        stop: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Generated]:
        """As ``generate``. ``stop`` are the texts that ``until`` looks for."""
        from tunesmith.models.generate import GREEDY, Generated, generate

        sampling = sampling or GREEDY
        about: tuple[object, ...] = ("generate", sorted(stop_ids), max_new_tokens, alone)
        if stop:
            about += ("stop", list(stop))
        if sampling.temperature:
            about += ("draw", sampling.temperature, sampling.top_p, sampling.seed)
        numbers = sampling.numbers or range(len(prompts))
        drawn: list[tuple[object, ...]] = [(n,) if sampling.temperature else () for n in numbers]
        keys = [self._key(about + drawn[i], prompt) for i, prompt in enumerate(prompts)]
        known, new = self._known(keys, _ANSWER)
        if new:

            def each(number: int, found: Generated) -> None:
                key = keys[new[number]]
                known[key] = (list(found.ids), found.finished)
                self._cache.keep(key, known[key])

            some = replace(sampling, numbers=tuple(numbers[i] for i in new)) if sampling.temperature else sampling
            generate(
                self._model, [prompts[i] for i in new], stop_ids=stop_ids, max_new_tokens=max_new_tokens,
                sampling=some, alone=alone, until=until, progress=progress, each=each,
            )  # fmt: skip
        return [Generated(tuple(ids), finished) for ids, finished in map(known.__getitem__, keys)]

    def rank_options(
        self, prompts: Sequence[Ids], options: Sequence[Sequence[Ids]], *, alone: bool = False
    ) -> list[NDArray[np.float64]]:
        """As ``rank_options``."""
        from tunesmith.models.generate import rank_options

        keys = [self._key(("rank", alone), p, *many) for p, many in zip(prompts, options, strict=True)]
        known, new = self._known(keys, _SCORES)
        if new:

            def each(number: int, scores: NDArray[np.float64]) -> None:
                key = keys[new[number]]
                known[key] = scores.tolist()
                self._cache.keep(key, known[key])

            some = [prompts[i] for i in new], [options[i] for i in new]
            rank_options(self._model, *some, alone=alone, each=each)
        return [np.array(scores) for scores in map(known.__getitem__, keys)]

    def _known(self, keys: Sequence[bytes], kind: TypeAdapter[Any]) -> tuple[dict[bytes, Any], list[int]]:
        """What is known of some keys, and the numbers of those that have to be asked, each once."""
        known = {}
        for key, value in self._cache.get(keys).items():
            with suppress(ValidationError):  # a damaged value is not known
                known[key] = kind.validate_python(value)
        new = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
        missing = sum(key in new for key in keys)
        self.known, self.asked = self.known + len(keys) - missing, self.asked + missing
        return known, sorted(new.values())

    def _key(self, about: tuple[object, ...], *ids: Ids) -> bytes:
        hash_ = hashlib.blake2b(self._digest, digest_size=16)
        hash_.update(json.dumps(about).encode())
        for one in ids:
            row = np.asarray(one, dtype="<i8")
            hash_.update(len(row).to_bytes(8, "little") + row.tobytes())
        return hash_.digest()


def _digest_of(model: PreTrainedModel, folder: Path) -> bytes:
    """A hash of all files that decide what a model says, and of what computes it."""
    import torch
    import transformers

    files = sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
    if not any(file.suffix == ".safetensors" for file in files):
        raise EvalError(f"{folder} holds no weights (*.safetensors), so answers cannot be told from other models'.")
    hash_ = hashlib.blake2b(digest_size=16)
    about = (
        ENGINE,
        torch.__version__,
        transformers.__version__,
        str(model.dtype),
        next(model.parameters()).device.type,
    )
    hash_.update(json.dumps(about).encode())
    for file in files:
        with file.open("rb") as opened:
            hash_.update(file.name.encode() + hashlib.file_digest(opened, "blake2b").digest())
    return hash_.digest()
