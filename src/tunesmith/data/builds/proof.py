"""The proof of a split: which row is on which side, by id, group and prompt digest; and an independent check of it.

SplitProof.load(path)                       written beside a build
check_split(proof, train, held_out)         raises a DataError that lists every way in which the sides touch
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError
from tunesmith.core.types import LEVELS, Conversation, Level
from tunesmith.data.builds.held_out import PLACES, HeldOut

if TYPE_CHECKING:
    import pyarrow as pa


class ProofRow(NamedTuple):
    """One row of one side, by names and digests only."""

    id: str
    """``<example id>@<template id>``."""
    cluster: str
    group: str
    prompt: str
    """A digest of what comes before the answer: see ``prompt_digest``."""

    @property
    def template(self) -> str:
        return self.id.rpartition("@")[2]

    @property
    def task(self) -> str:
        return self.template.rpartition("/")[0]


@dataclass(frozen=True)
class SplitProof:
    """What stands on which side. Another program can check it from this alone; with the rows, fully."""

    format: str
    wish: HeldOut
    groups: frozenset[str]
    """Every group that is held out: by the hash of its name, or because a held-out task asks about it."""
    rows: pa.Table
    """All rows of both sides: ``side`` (train, or the level), ``id``, ``cluster``, ``group``, ``prompt``. Everything
    that was held out is there, also what a sample of it left undrawn."""
    data_sets: Mapping[str, str] = field(default_factory=dict)
    """What the rows of each task were made of."""

    def of(self, side: str) -> list[ProofRow]:
        """The rows of one side."""
        import pyarrow.compute as pc

        rows = self.rows.filter(pc.equal(self.rows["side"], side))
        return [ProofRow(*row) for row in zip(*(rows[key].to_pylist() for key in ProofRow._fields), strict=True)]

    def write(self, path: Path) -> None:
        """The rule as JSON, and the rows beside it as Parquet of the same name."""
        import pyarrow.parquet as pq

        value = {
            "format": self.format,
            "held_out": self.wish.to_json(),
            "groups": sorted(self.groups),
            "data_sets": dict(sorted(self.data_sets.items())),
            "counts": self.counts,
            "rows": path.with_suffix(".parquet").name,
        }
        pq.write_table(self.rows, path.with_suffix(".parquet"), compression="zstd")
        path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> SplitProof:
        """The proof that ``write`` wrote."""
        import pyarrow.parquet as pq

        value = json.loads(path.read_text(encoding="utf-8"))
        rows = pq.read_table(path.with_name(value["rows"]))
        wish, groups = HeldOut.from_json(value["held_out"]), frozenset(value["groups"])
        return cls(value["format"], wish, groups, rows, value["data_sets"])

    @property
    def counts(self) -> dict[str, int]:
        """Rows of training and of each level."""
        counted = Counter(self.rows["side"].to_pylist())
        return {side: counted[side] for side in ("train", *LEVELS[1:])}


def proof_table(rows: Iterable[tuple[str, ProofRow]]) -> pa.Table:
    """The rows of a proof, each with its side."""
    import pyarrow as pa

    columns = list(zip(*((side, *row) for side, row in rows), strict=True)) or [()] * 5
    names = ("side", *ProofRow._fields)
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def check_split(
    proof: SplitProof,
    train: Iterable[Conversation] | None = None,
    held_out: Mapping[Level, Iterable[Conversation]] | None = None,
) -> None:
    """Raise a ``DataError`` that lists every way in which the sides touch, or the proof is not what its rule says.

    No id, no rendered prompt and (but for new wordings of trained facts) no group may stand on both sides; no data
    set may be trained on of which a held-out task or cluster is made; every row must stand where the held-out
    clusters, tasks, wordings and groups put it. With the rows themselves, those must be the rows of the proof,
    prompt for prompt."""
    import pyarrow.compute as pc

    problems: list[str] = []
    sides = {
        side: proof.rows.filter(pc.equal(proof.rows["side"], side))
        for side in pc.unique(proof.rows["side"]).to_pylist()
    }
    nothing = proof.rows.slice(0, 0)
    trained = sides.get("train", nothing)
    twice = len(trained) - len(pc.unique(trained["id"]))
    if twice:
        problems.append(f"{twice} training rows have an id that another one has")
    trained_sets = _data_sets(proof, trained)
    for level, rows in sides.items():
        if level == "train":
            continue
        if level not in LEVELS or level == "seen":
            problems.append(f"there is no held-out level {level!r}; known: {', '.join(LEVELS[1:])}")
        for key, what in (("id", "ids"), ("prompt", "prompts"), ("group", "groups")):
            if key != "group" or level != "wording":
                both = rows.filter(pc.is_in(rows[key], value_set=trained[key].combine_chunks()))
                problems += _both(f"level {level!r}: {what}", both["group" if key == "group" else "id"].to_pylist())
        if level in ("task", "cluster"):
            problems += _both(f"level {level!r}: data sets", sorted(_data_sets(proof, rows) & trained_sets))
    problems += _out_of_place(proof)
    given: list[tuple[str, Iterable[Conversation]]] = [("train", train)] if train is not None else []
    given += list((held_out or {}).items())
    for side, conversations in given:
        # A seen question is a training row.
        allowed = {row.id: row for row in proof.of("train" if side == "seen" else side)}
        for conversation in conversations:
            row = allowed.get(conversation.id)
            if row is None:
                problems.append(f"{side}: row {conversation.id} is not in the proof")
            elif prompt_digest(conversation, proof.format) != row.prompt:
                problems.append(f"{side}: row {conversation.id} has another prompt than the proof says")
            elif conversation.cluster != row.cluster:
                problems.append(f"{side}: row {conversation.id} is of another cluster than the proof says")
    if problems:
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise DataError("The split does not hold:\n" + "\n".join([*problems[:20], *more]))


def prompt_digest(conversation: Conversation, format: str = "instruction") -> str:
    """16 hex digits of SHA-256 over all messages before the answer, as JSON ``[[role, text], ...]``. With the
    format ``none`` the answer too: there the bare input is the same in all tasks, and says nothing."""
    messages = conversation.messages if format == "none" else conversation.prompt
    shots = next((int(tag.removeprefix("shots:")) for tag in conversation.tags if tag.startswith("shots:")), 0)
    if shots:  # answered examples stand between the system message and the question
        first = int(messages[0].role == "system")
        of_one = (len(messages) - first + 1) // (shots + 1)
        messages = (*messages[:first], *messages[first + shots * of_one :])
    text = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _data_sets(proof: SplitProof, rows: pa.Table) -> set[str]:
    """What rows were made of."""
    tasks = {template.rpartition("/")[0] for template in _templates(rows).unique().to_pylist()}
    return {proof.data_sets.get(task, task) for task in tasks}


def _templates(rows: pa.Table) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(rows["id"], "^.*@", "")


def _out_of_place(proof: SplitProof) -> list[str]:
    """Rows whose place is not what the declared rule gives, computed here a second time."""
    wish, rows = proof.wish, proof.rows
    templates, template = _coded(_templates(rows))
    clusters, cluster = _coded(rows["cluster"])
    sides, side = _coded(rows["side"])
    tasks = [name.rpartition("/")[0] for name in templates]

    found: list[str] = []
    named = {f"{task}/{name.rpartition('/')[2]}" for task, names in wish.wordings.items() for name in names}
    in_wording = side == sides.index("wording") if "wording" in sides else np.zeros(len(rows), bool)
    counted = {templates[i] for i in np.unique(template[in_wording])} - named
    per_task = Counter(name.rpartition("/")[0] for name in counted)
    for task, count in sorted(per_task.items()):
        if task in wish.wordings or count > wish.wordings_per_task:
            found.append(f"task {task!r} holds out {count} wordings that the rule does not name")

    held = _held_groups(proof)
    new_words = np.array([name in named or name in counted for name in templates] or [False])[template]
    wanted = np.select(
        [
            np.array([name in wish.clusters for name in clusters] or [False])[cluster],
            np.array([name in wish.tasks for name in tasks] or [False])[template],
            held & new_words,
            held,
            new_words,
        ],
        [PLACES.index(place) for place in ("cluster", "task", "neither", "instance", "wording")],
        PLACES.index("train"),
    )
    there = np.array([PLACES.index(name) if name in PLACES else len(PLACES) for name in sides] or [0])[side]
    for i in np.flatnonzero(wanted != there)[:1000].tolist():
        place = PLACES[wanted[i]]
        found.append(f"row {rows['id'][i]} stands in {sides[side[i]]!r}; by the rule its place is {place!r}")
    return found


def _coded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[Any]]:
    """The values that there are, and for each row which of them it has."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


def _held_groups(proof: SplitProof, at_once: int = 1 << 16) -> NDArray[np.bool_]:
    """For each row whether its group is held out. The names are looked at some at a time, for there may be many."""
    coded = proof.rows["group"].combine_chunks().dictionary_encode()
    names, held = coded.dictionary, np.zeros(max(1, len(coded.dictionary)), bool)
    for begin in range(0, len(names), at_once):
        some = names.slice(begin, at_once).to_pylist()
        held[begin : begin + len(some)] = [name in proof.groups or proof.wish.chooses(name) for name in some]
    indices = coded.indices.to_numpy(zero_copy_only=False)
    if proof.wish.ids:
        held[indices[[proof.wish.names(id) for id in proof.rows["id"].to_pylist()]]] = True
    found: NDArray[np.bool_] = held[indices]
    return found


def _both(what: str, found: list[str]) -> list[str]:
    if not found:
        return []
    unique = sorted(set(found))
    return [f"{what} on both sides: {len(unique)}, such as {', '.join(unique[:3])}"]
