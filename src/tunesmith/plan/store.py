"""Encoded rows on disk, ready to be trained on.

A folder of flat arrays (``ids.npy``, ``learn.npy``, ``offsets.npy``) and the name of every row
(``names.json``), so that an error during training can say which record it was. Written once from an
``EncodedMany``; opened read-only and memory-mapped, so a store may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError
from tunesmith.core.types import Encoded, EncodedMany
from tunesmith.core.whole import whole_folder

_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenStore:
    """Row ``i`` is ``ids[offsets[i]:offsets[i + 1]]``, of which ``learn`` says what is taught."""

    ids: NDArray[np.int32]
    learn: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    names: Sequence[str]
    digest: str
    """Hash of all of the above; two stores with the same digest train the same."""
    folder: Path | None = None
    """Where it lies, if it does."""

    @classmethod
    def of(cls, encoded: EncodedMany, names: Sequence[str] = ()) -> TokenStore:
        """A store in memory. ``names[r]`` names input row ``r``; ``encoded.rows`` says whose each row is."""
        ids = np.ascontiguousarray(encoded.ids, dtype=np.int32)
        learn = np.array(encoded.learn, dtype=np.bool_)
        offsets = np.ascontiguousarray(encoded.offsets, dtype=np.int64)
        if len(ids) != len(learn) or int(offsets[-1]) != len(ids):
            raise DataError(
                f"The encoded rows do not fit together: {len(ids)} ids, {len(learn)} learn marks, "
                f"offsets that end at {int(offsets[-1])}."
            )
        if np.any(np.diff(offsets) < 1):
            raise DataError("An encoded row is empty; set it aside when encoding.")
        # Nothing comes before the first token of a row, so it cannot be predicted.
        learn[offsets[:-1]] = False
        row_names = [names[int(r)] if len(names) else f"row {int(r)}" for r in encoded.rows]
        return cls(ids, learn, offsets, row_names, _digest(ids, learn, offsets, row_names))

    @classmethod
    def write(cls, folder: str | Path, encoded: EncodedMany, names: Sequence[str] = ()) -> TokenStore:
        """Write a store and open it. The folder appears whole or not at all."""
        folder = Path(folder)
        store = cls.of(encoded, names)
        about = {"version": _VERSION, "digest": store.digest, "rows": len(store), "tokens": store.tokens}
        with whole_folder(folder) as part:
            np.save(part / "ids.npy", store.ids)
            np.save(part / "learn.npy", store.learn)
            np.save(part / "offsets.npy", store.offsets)
            (part / "names.json").write_text(json.dumps(list(store.names), ensure_ascii=False), encoding="utf-8")
            (part / "store.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> TokenStore:
        """Open a store that ``write`` made."""
        folder = Path(folder)
        try:
            about = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{folder} holds no encoded rows (no store.json). Encode the data first.") from None
        if about["version"] != _VERSION:
            raise DataError(f"{folder} has layout {about['version']}, this version reads {_VERSION}. Encode it again.")
        return cls(
            np.load(folder / "ids.npy", mmap_mode="r"),
            np.load(folder / "learn.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            json.loads((folder / "names.json").read_text(encoding="utf-8")),
            about["digest"],
            folder,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Encoded:
        a, b = int(self.offsets[i]), int(self.offsets[i + 1])
        return Encoded(self.ids[a:b], self.learn[a:b])

    @property
    def tokens(self) -> int:
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @property
    def learned(self) -> NDArray[np.int64]:
        """How many tokens of each row are taught."""
        counts: NDArray[np.int64] = np.add.reduceat(self.learn, self.offsets[:-1], dtype=np.int64)
        return counts


def _digest(ids: NDArray[np.int32], learn: NDArray[np.bool_], offsets: NDArray[np.int64], names: Sequence[str]) -> str:
    h = hashlib.blake2b(digest_size=16)
    for array in (ids, np.packbits(learn), offsets):
        h.update(array.tobytes())
    h.update(json.dumps(list(names)).encode())
    return h.hexdigest()
