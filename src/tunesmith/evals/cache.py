"""What models have answered before, so that no question is asked twice and no answer is another model's.

    cache = Cache(folder / "answers.sqlite")
    seen = cache.of(model, model_dir)                 this model's part
    seen.generate(prompts, stop_ids=..., ...)         as ``generate``, but only what is new is computed
    seen.rank_options(prompts, options)

An answer is found under a digest of all that decides it: the bytes of the weights and of the tokenizer, the type that
the model computes in, the ids of the prompt (and with them the chat template), of the options or the stop tokens, how
many tokens it may say, and the versions of the engine, torch and transformers. One alone asked is not one asked in
company: ``alone`` is part of it too.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import EvalError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.models.generate import Generated, Ids, Progress

ENGINE = 1
"""Raised when ``generate`` or ``rank_options`` begin to answer otherwise."""
_SECONDS = 2.0
"""How long an answer may wait to be written."""
_WEIGHTS = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json")


class Cache:
    """A file of answers of any models. Several processes may use it at once."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value TEXT) WITHOUT ROWID")
        except sqlite3.DatabaseError as error:
            raise EvalError(f"{self.path} is not a file of answers ({error}). Delete it, or name another.") from None

    def of(self, model: PreTrainedModel, folder: Path) -> Answers:
        """The answers of one model, whose files are in a folder."""
        return Answers(self, model, _digest_of(model, folder))

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """What is known under some keys."""
        found: dict[bytes, Any] = {}
        for a in range(0, len(keys), 500):
            part = keys[a : a + 500]
            marks = ",".join("?" * len(part))
            rows = self._file.execute(f"SELECT key, value FROM answers WHERE key IN ({marks})", part)
            found.update((key, json.loads(value)) for key, value in rows)
        return found

    @contextmanager
    def saving(self) -> Iterator[Callable[[bytes, Any], None]]:
        """Remember values one by one, as they come; after a crash all are there but those of the last seconds."""
        waiting: dict[bytes, Any] = {}
        saved = time.monotonic()

        def keep(key: bytes, value: Any) -> None:
            nonlocal saved
            waiting[key] = value
            if time.monotonic() - saved > _SECONDS:
                self.put(waiting)
                waiting.clear()
                saved = time.monotonic()

        try:
            yield keep
        finally:
            self.put(waiting)

    def put(self, values: dict[bytes, Any]) -> None:
        """Remember values, all or none of them."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._file:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)


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
        alone: bool = False,
        progress: Progress | None = None,
    ) -> list[Generated]:
        """As ``generate``, without chance."""
        from tunesmith.models.generate import Generated, generate

        about = ("generate", sorted(stop_ids), max_new_tokens, alone)
        keys = [self._key(about, prompt) for prompt in prompts]
        known, new = self._known(keys)
        if new:
            with self._cache.saving() as keep:

                def each(number: int, found: Generated) -> None:
                    key = keys[new[number]]
                    known[key] = [list(found.ids), found.finished]
                    keep(key, known[key])

                generate(
                    self._model, [prompts[i] for i in new], stop_ids=stop_ids, max_new_tokens=max_new_tokens,
                    alone=alone, progress=progress, each=each,
                )  # fmt: skip
        return [Generated(tuple(ids), finished) for ids, finished in map(known.__getitem__, keys)]

    def rank_options(
        self, prompts: Sequence[Ids], options: Sequence[Sequence[Ids]], *, alone: bool = False
    ) -> list[NDArray[np.float64]]:
        """As ``rank_options``."""
        from tunesmith.models.generate import rank_options

        keys = [self._key(("rank", alone), p, *many) for p, many in zip(prompts, options, strict=True)]
        known, new = self._known(keys)
        if new:
            with self._cache.saving() as keep:

                def each(number: int, scores: NDArray[np.float64]) -> None:
                    key = keys[new[number]]
                    known[key] = scores.tolist()
                    keep(key, known[key])

                some = [prompts[i] for i in new], [options[i] for i in new]
                rank_options(self._model, *some, alone=alone, each=each)
        return [np.array(scores) for scores in map(known.__getitem__, keys)]

    def _known(self, keys: Sequence[bytes]) -> tuple[dict[bytes, Any], list[int]]:
        """What is known of some keys, and the numbers of those that have to be asked, each once."""
        known = self._cache.get(keys)
        new = {key: i for i, key in enumerate(keys) if key not in known}
        missing = sum(key in new for key in keys)
        self.known, self.asked = self.known + len(keys) - missing, self.asked + missing
        return known, list(new.values())

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
