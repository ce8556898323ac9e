"""Cards: the numbers of a row that decide where it goes. They are few, so that millions fit in memory.

    box = CardBox(wish, seed)
    for row in rows: box.add(row, prompt)      in the worker that made the rows
    cards = Cards.join(cards of all workers)    where it is decided

Names (tasks, clusters, templates, metrics) are numbers that stand for a table of names; ids, groups and prompts are
hashes of 64 bits, of which two among a hundred million collide with a chance of 3 in 10,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.types import Comparison, Conversation
from tunesmith.core.whole import whole
from tunesmith.data.text.hashing import hash64, order

if TYPE_CHECKING:
    from tunesmith.data.builds.held_out import HeldOut

CARD = np.dtype(
    [
        ("id", "<u8"),
        ("prompt", "<u8"),
        ("group", "<u8"),
        ("example", "<u8"),  # the same for all wordings of an example
        ("answer", "<u8"),
        ("order", "<u8"),  # where a draw takes it: a hash of seed and id
        ("task", "<u4"),
        ("cluster", "<u4"),
        ("template", "<u4"),
        ("metric", "<u4"),
        ("data_set", "<u4"),
        ("reason", "<u4"),  # why cleaning drops it; no text where it does not
        ("rendered", "?"),  # put into words by a template
        ("chosen", "?"),  # whether the wish holds its group out by name or hash
        ("judged", "?"),  # a comparison, not a conversation
    ]
)
NAMED = ("task", "cluster", "template", "metric", "data_set", "reason")


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of rows, in their order."""

    rows: NDArray[Any]
    names: dict[str, tuple[str, ...]]
    """For each of ``NAMED``, what its numbers stand for."""

    def __len__(self) -> int:
        return len(self.rows)

    def named(self, key: str) -> NDArray[Any]:
        """A column of names, as an array of texts."""
        found: NDArray[Any] = np.array(self.names[key] or ("",), dtype=object)[self.rows[key]]
        return found

    @staticmethod
    def join(parts: Iterable[Cards]) -> Cards:
        """One after another, with one table of names."""
        tables: dict[str, dict[str, int]] = {key: {} for key in NAMED}
        arrays: list[NDArray[Any]] = []
        for part in parts:
            rows = part.rows.copy()
            for key, table in tables.items():
                number = [table.setdefault(name, len(table)) for name in part.names[key]]
                rows[key] = np.array(number or [0], np.uint32)[part.rows[key]]
            arrays.append(rows)
        rows = np.concatenate(arrays) if arrays else np.zeros(0, CARD)
        return Cards(rows, {key: tuple(table) for key, table in tables.items()})

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        with whole(path) as part, part.open("wb") as file:
            names = {f"names_{key}": np.array(self.names[key], dtype=np.str_) for key in NAMED}
            np.savez(file, rows=self.rows, **names)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Cards:
        """The cards that ``save`` wrote."""
        with np.load(path) as file:
            return cls(file["rows"], {key: tuple(map(str, file[f"names_{key}"])) for key in NAMED})


class CardBox:
    """Collects cards."""

    def __init__(self, wish: HeldOut, seed: int) -> None:
        self._wish = wish
        self._seed = seed
        self._rows: list[tuple[Any, ...]] = []
        self._names: dict[str, dict[str, int]] = {key: {} for key in NAMED}
        self._groups: dict[str, tuple[int, bool]] = {}

    def add(
        self,
        row: Conversation | Comparison,
        prompt: str,
        data_set: str,
        *,
        reason: str = "",
        rendered: bool = False,
    ) -> None:
        """The card of a row; ``prompt`` is its digest of 16 hex digits, ``reason`` why cleaning drops it."""
        if row.group not in self._groups:
            self._groups[row.group] = (hash64(row.group), self._wish.chooses(row.group))
        group, chosen = self._groups[row.group]
        judged = isinstance(row, Comparison)
        if isinstance(row, Comparison):
            template, metric, answer = "", "", repr(row.answers)
        else:
            template, metric, answer = row.template, row.metric, said(row)
        numbers = [
            self._names[key].setdefault(name, len(self._names[key]))
            for key, name in zip(NAMED, (row.task, row.cluster, template, metric, data_set, reason), strict=True)
        ]
        example = hash64(row.id.rpartition("@")[0])
        hashes = (hash64(row.id), int(prompt, 16), group, example, hash64(answer), order(self._seed, row.id))
        chosen = chosen or self._wish.names(row.id if not judged else f"{row.id}@")
        self._rows.append((*hashes, *numbers, rendered, chosen, judged))

    def cards(self) -> Cards:
        """All of them."""
        return Cards(np.array(self._rows, CARD), {key: tuple(table) for key, table in self._names.items()})


def said(row: Conversation) -> str:
    """All that makes an answer: what is said; and of the whole row what is thought and called, and the tools that may
    be. Rows that differ in any of it are not the same row again."""
    last = row.messages[-1] if row.messages else None
    answer = last.content if last is not None and last.role == "assistant" else ""
    rest = [(m.reasoning_content, m.tool_calls, m.name, m.learn) for m in row.messages]
    if not row.tools and not any(thought is not None or calls or learn for thought, calls, _, learn in rest):
        return answer
    return repr((answer, rest, row.tools))


def members(values: NDArray[Any], of: Sequence[str] | frozenset[str] | set[str], table: Sequence[str]) -> NDArray[Any]:
    """For numbers that stand for names of ``table``: which stand for one of these names."""
    wanted = np.array([name in of for name in table] or [False])
    found: NDArray[Any] = wanted[values]
    return found
