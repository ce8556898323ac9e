"""What a build writes: the rows it keeps in shards, the proof of the split, and what is set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.types import LEVELS, Comparison, Conversation, Level, SetAside, Source
from tunesmith.data import store
from tunesmith.data.builds.assign import HELD, LEAK, TRAIN, Fates
from tunesmith.data.builds.fingerprints import Cards
from tunesmith.data.builds.held_out import PLACES, HeldOut
from tunesmith.data.builds.progress import Progress
from tunesmith.data.builds.proof import SplitProof
from tunesmith.data.builds.worker import Done, Orders, compared_of, shard_of

FILE_ROWS = 1 << 18
"""Training rows of one file."""
TOLD = 1000
"""Rows set aside that the ledger names one by one; the file beside it names all that are told."""


def rows_of_unit(
    folder: Path, dones: Sequence[Done], mask: NDArray[np.bool_]
) -> Iterator[tuple[int, Conversation | Comparison]]:
    """The rows of a mask over all rows, with their numbers; of each unit the conversations first."""
    begin = 0
    for done in dones:
        compared = compared_of(folder, done.number)
        for path in [shard_of(folder, done.number), *([compared] if compared.exists() else [])]:
            for table in store.tables_of(path):
                at = begin + np.flatnonzero(mask[begin : begin + table.num_rows])
                if len(at):
                    found = (store.of_compared if path == compared else store.of_table)(table.take(at - begin))
                    yield from zip(at.tolist(), found, strict=True)
                begin += table.num_rows


def write_parts(folder: Path, tables: Iterable[Any]) -> None:
    """Tables into files of ``FILE_ROWS`` rows, in groups of the same size."""
    groups = in_groups(tables)
    for number in count():
        few = list(islice(groups, 1))
        if few or not number:
            file = chain(few, islice(groups, FILE_ROWS // store.GROUP_ROWS - 1))
            store.write_tables(folder / f"{number:05}.parquet", file if few else [store.to_table([])])
        if not few:
            return


def in_groups(tables: Iterable[Any]) -> Iterator[Any]:
    """The rows of tables in groups of ``store.GROUP_ROWS``."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= store.GROUP_ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, store.GROUP_ROWS)
            waiting, rows = [whole.slice(store.GROUP_ROWS)], rows - store.GROUP_ROWS
    if rows:
        yield pa.concat_tables(waiting)


class Kept:
    """Goes through the shards once, and keeps what is needed besides the training rows."""

    def __init__(self, format: str, wish: HeldOut, cards: Cards, fates: Fates, progress: Progress) -> None:
        self.format = format
        self.progress = progress
        self.cards = cards
        self.fates = fates
        self.begin = 0
        self.wanted = {int(i) for rows in fates.drawn.values() for i in rows}
        self.named = np.zeros(len(cards), bool)
        """The rows because of which others are not used."""
        self.named[fates.because[fates.because >= 0]] = True
        self.rows: dict[int, Conversation] = {}
        self.ids: dict[int, str] = {}
        self.unknown = set(wish.ids)
        """Ids of the wish that no row has had so far."""
        self.proven: list[Any] = []
        self.begins: dict[int, int] = {}
        """Where each unit begins among the cards."""
        self.starts: dict[int, int] = {}
        """Where the comparisons of each unit begin among the cards."""
        self.groups: set[str] = set()

    def shard(self, folder: Path, number: int) -> Iterator[Any]:
        """The training rows of a unit."""
        self.begins[number] = self.begin
        for table in store.tables_of(shard_of(folder, number)):
            self.progress("rows written", self.begin, len(self.cards))
            at = np.arange(self.begin, self.begin + table.num_rows)
            self.begin += table.num_rows
            fate = self.fates.of[at]
            for i in np.flatnonzero(np.isin(at, list(self.wanted))) if self.wanted else ():
                (self.rows[int(at[i])],) = store.of_table(table.slice(int(i), 1))
            self._name(table, at)
            self._prove(table, at, fate)
            yield table.drop_columns("reason").filter(fate == TRAIN)
        self.starts[number] = self.begin
        part = compared_of(folder, number)
        if part.exists():
            for table in store.tables_of(part):
                at = np.arange(self.begin, self.begin + table.num_rows)
                self.begin += table.num_rows
                self._name(table, at)
                self._prove(table, at, self.fates.of[at])

    def _name(self, table: Any, at: Any) -> None:
        if self.unknown:
            self.unknown.difference_update(id.rpartition("@")[0] or id for id in table["id"].to_pylist())
        named = np.flatnonzero(self.named[at])
        if len(named):
            self.ids.update(zip(at[named].tolist(), table["id"].take(named).to_pylist(), strict=True))

    def _prove(self, table: Any, at: Any, fate: Any) -> None:
        import pyarrow as pa

        placed = fate < len(PLACES) - 1
        columns = {key: table[key].filter(placed) for key in ("id", "cluster", "group")}
        prompts = [f"{prompt:016x}" for prompt in self.cards.rows["prompt"][at[placed]].tolist()]
        sides = pa.array([PLACES[i] for i in fate[placed].tolist()], pa.string())
        self.proven.append(pa.table({"side": sides, **columns, "prompt": pa.array(prompts, pa.string())}))
        apart = np.isin(fate, [PLACES.index(level) for level in HELD if level != "wording"])
        self.groups |= set(table["group"].filter(apart).to_pylist())

    def proof(self, orders: Orders, data_sets: Mapping[str, str]) -> SplitProof:
        import pyarrow as pa

        return SplitProof(orders.format, orders.wish, frozenset(self.groups), pa.concat_tables(self.proven), data_sets)

    def asked(self) -> dict[Level, list[Conversation]]:
        """The drawn rows, by level."""
        return {level: [self.rows[int(i)] for i in self.fates.drawn[level]] for level in LEVELS}

    def unused(self, folder: Path, dones: Sequence[Done], out: Path) -> list[SetAside]:
        """Write the rows that are not used; and tell those that ask what is held out, one by one."""
        told: list[SetAside] = []
        name = f"unused.{self.format}.parquet"
        store.write_tables(out / name, self._unused([shard_of(folder, d.number) for d in dones], dones, False, told))
        there = [done for done in dones if compared_of(folder, done.number).exists()]
        if there:
            paths = [compared_of(folder, done.number) for done in there]
            store.write_tables(out / "unused.compared.parquet", self._unused(paths, there, True, told))
        return told

    def _unused(
        self, paths: Sequence[Path], dones: Sequence[Done], judged: bool, told: list[SetAside]
    ) -> Iterator[Any]:
        import pyarrow as pa

        for path, done in zip(paths, dones, strict=True):
            begin = self.starts[done.number] if judged else self.begins[done.number]
            for n, table in enumerate(store.tables_of(path)):
                at = np.arange(begin, begin + table.num_rows)
                begin += table.num_rows
                mine = np.flatnonzero(self.fates.of[at] >= len(PLACES))
                if not len(mine) and (n or done is not dones[0]):
                    continue  # one table at least, so that the file has its columns
                part = table.take(mine)
                why, like = [], []
                for i, dirty in zip(at[mine].tolist(), part["reason"].to_pylist(), strict=True):
                    note = self.fates.notes.get(i)
                    why.append(dirty or self.fates.reason(i) + (f": {note}" if note else ""))
                    like.append(self.ids.get(int(self.fates.because[i]), ""))
                for reason, other, id, source in zip(why, like, part["id"], part["source"], strict=True):
                    if reason == LEAK:
                        told.append(SetAside(id.as_py(), f"{LEAK}: {other}", Source.parse(source.as_py())))
                part = part.drop_columns("reason")
                part = part.append_column("why", pa.array(why, pa.string()))
                yield part.append_column("like", pa.array(like, pa.string()))

    def compared(self, folder: Path, dones: Sequence[Done], out: Path) -> int:
        """Write the comparisons of both sides; how many to train on."""
        there = [done.number for done in dones if compared_of(folder, done.number).exists()]
        if not there:
            return 0

        def of(side: str) -> Iterator[Any]:
            for number in there:
                at = self.starts[number]
                for table in store.tables_of(compared_of(folder, number)):
                    fate = self.fates.of[at : at + table.num_rows]
                    at += table.num_rows
                    held = np.isin(fate, [PLACES.index(level) for level in HELD])
                    yield table.drop_columns("reason").filter(fate == TRAIN if side == "train" else held)

        store.write_tables(out / "compared.held_out.parquet", of("held_out"))
        return store.write_tables(out / "compared.train.parquet", of("train"))


def count_reasons(rows: Sequence[SetAside]) -> dict[str, int]:
    return dict(Counter(row.reason for row in rows))
