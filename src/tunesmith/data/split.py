"""What a tuned model must not have been trained on, decided by id before anything is drawn.

    cluster    all tasks of a held-out cluster
    task       a held-out task of a cluster whose other tasks are trained on
    instance   a trained task in trained wordings, on facts that are not trained on
    wording    a trained task on trained facts, in words that are not trained on
    seen       what was trained on

``HeldOut`` is the wish, as in ``held_out.yaml``. ``Split`` is the wish applied to tasks and their rows: it
gives every row, a pair (example, template) or one in words, exactly one place. What must not be torn apart is a
``group``: the same fact in all languages and tasks. A group is held out when a hash of its name says so, or
when a held-out task asks about it; so no held-out instance, task or cluster shares a group with training.

``SplitProof`` lists what stands on which side, by id, group and a digest of the prompt.
``check_split`` believes none of it, and counts again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.cards import Cards, members
from tunesmith.data.yaml_file import YamlFile, near
from tunesmith.document import path_of
from tunesmith.errors import DataError, RecipeError
from tunesmith.settings import MOST_ROWS
from tunesmith.types import LEVELS, Conversation, Level

if TYPE_CHECKING:
    import pyarrow as pa

Place = Literal["train", "wording", "instance", "task", "cluster", "neither"]
PLACES: tuple[Place, ...] = ("train", "wording", "instance", "task", "cluster", "neither")
"""``neither``: new words on a new fact at once, which is no level; such a pair is not used."""


@dataclass(frozen=True)
class HeldOut:
    """What is to be held out. It names ids and a share, and depends on no seed: every run of a project
    holds out the same."""

    clusters: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Full ids: ``capital.en``."""
    wordings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Template names by task id."""
    wordings_per_task: int = 0
    """So many of each trained task that ``wordings`` does not name, chosen by a hash of their ids."""
    instance_fraction: float = 0.0
    """This share of the groups, chosen by a hash of their names."""
    groups: tuple[str, ...] = ()
    """Groups held out besides."""
    ids: tuple[str, ...] = ()
    """Examples held out besides, each with its whole group: the part of a row's id before the @."""
    salt: str = "tunesmith"
    """Changing it holds out other instances and, with ``wordings_per_task``, other wordings."""

    @classmethod
    def load(cls, path: Path | str) -> HeldOut:
        """Read a ``held_out.yaml``; all its problems are reported at once."""
        file = YamlFile.read(Path(path))
        value = file.value
        if not file.problems and not isinstance(value, dict):
            file.problem((), "wanted a mapping with the keys clusters, tasks, wordings, instances")
        if file.problems:
            raise RecipeError("\n".join(file.report()))
        file.check_keys((), value, ("clusters", "tasks", "wordings", "wordings_per_task", "instances", "salt"))
        wordings = _mapping(file, value, "wordings")
        instances = _mapping(file, value, "instances")
        file.check_keys(("instances",), instances, ("fraction", "groups", "ids"))
        found = cls(
            clusters=file.texts((), value, "clusters"),
            tasks=file.texts((), value, "tasks"),
            wordings={task: file.texts(("wordings",), wordings, task) for task in wordings},
            wordings_per_task=int(file.number((), value, "wordings_per_task", MOST_ROWS, whole=True)),
            instance_fraction=file.number(("instances",), instances, "fraction", 1),
            groups=file.texts(("instances",), instances, "groups"),
            ids=_ids(file, instances, Path(path).parent),
            salt=file.text((), value, "salt", "tunesmith"),
        )
        if file.problems:
            raise RecipeError("\n".join(file.report()))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` reads."""
        return {**asdict(self), "wordings": {task: list(names) for task, names in sorted(self.wordings.items())}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HeldOut:
        """The value that ``to_json`` wrote."""
        lists = {key: tuple(value[key]) for key in ("clusters", "tasks", "groups", "ids") if key in value}
        return cls(**{**value, **lists})

    def chooses(self, group: str) -> bool:
        """Whether the hash of its name holds a group out: SHA-256 of ``<salt>|<group>``, its first 8 bytes as
        a number below 2^64, against the fraction."""
        return group in self._groups or _unit(f"{self.salt}|{group}") < self.instance_fraction

    def names(self, row: str) -> bool:
        """Whether the list of ids names a row, ``<example id>@<template id>``, and with it its group."""
        return bool(self.ids) and row.rpartition("@")[0] in self._ids

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.ids)

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(self.groups)


@dataclass(frozen=True)
class Split:
    """``HeldOut`` applied to the rows that there are: the place of each."""

    places: NDArray[np.uint8]
    """For each row a number: ``PLACES[number]``."""
    groups: NDArray[np.uint64]
    """The hashes of all groups that training must not touch, sorted."""
    clusters: frozenset[str]
    tasks: frozenset[str]
    """Held-out tasks of seen clusters."""

    @classmethod
    def make(cls, wish: HeldOut, cards: Cards, templates: Mapping[str, Sequence[str]]) -> Split:
        """Check the wish against what there is, all problems at once, and apply it. ``templates`` are the full ids of
        all templates of each task, also of those that render nothing."""
        rows, names = cards.rows, cards.names
        parts = _parts(cards, templates)
        problems = _wrong_names(wish, parts)
        clusters, held = frozenset(wish.clusters), frozenset(wish.tasks)
        trained = [part for part in parts if part.cluster not in clusters and part.task not in held]
        wordings = {t for part in trained for t in _held_wordings(wish, part)}

        in_cluster = members(rows["cluster"], clusters, names["cluster"])
        in_task = members(rows["task"], held, names["task"]) & ~in_cluster
        out = in_cluster | in_task
        groups = np.unique(rows["group"][out | rows["chosen"]])
        in_group = np.isin(rows["group"], groups)
        in_wording = members(rows["template"], wordings, names["template"])

        sets = {str(name) for name in np.unique(cards.named("data_set")[out])} if out.any() else set()
        for part in trained:
            mine = (rows["task"] == part.number) & ~in_cluster
            if part.templates and wordings.issuperset(part.templates):
                count = len(part.templates)
                problems.append(f"all {count} wordings of task {part.task!r} are held out; leave one to train on")
            shared = sets & part.data_sets
            if shared:
                name = min(shared)
                other = cards.named("task")[out & (cards.named("data_set") == name)][0]
                problems.append(
                    f"task {part.task!r} is made of the data set {name!r}, and so is the held-out task {other!r}; "
                    "hold out both, or neither"
                )
            elif mine.any() and in_group[mine].all():
                mates = cards.named("task")[out & np.isin(rows["group"], rows["group"][mine])]
                why = (
                    f"they are asked about by the held-out task {min(mates)!r}; hold out both, or neither"
                    if len(mates)
                    else f"lower the fraction ({wish.instance_fraction}), or change the salt"
                )
                count = len(np.unique(rows["group"][mine]))
                problems.append(f"all {count} rows of task {part.task!r} are held out: {why}")
        if not trained and len(cards):
            problems.append("every task is held out; nothing is left to train on")
        if problems:
            raise DataError("What is held out does not fit the tasks:\n" + "\n".join(problems))
        known = np.select(
            [in_cluster, in_task, in_group & in_wording, in_group, in_wording],
            [PLACES.index(place) for place in ("cluster", "task", "neither", "instance", "wording")],
            PLACES.index("train"),
        )
        return cls(known.astype(np.uint8), groups, clusters, held)


@dataclass(frozen=True, slots=True)
class _Part:
    """A task as the split sees it."""

    task: str
    number: int
    cluster: str
    data_sets: frozenset[str]
    templates: tuple[str, ...]


def _parts(cards: Cards, templates: Mapping[str, Sequence[str]]) -> list[_Part]:
    found: dict[str, _Part] = {}
    keys: NDArray[Any] = np.unique(cards.rows[["task", "cluster", "data_set", "template"]])
    for task, cluster, data_set, template in keys:
        name = cards.names["task"][task]
        part = found.get(name) or _Part(name, int(task), cards.names["cluster"][cluster], frozenset(), ())
        known = tuple(templates.get(name, ())) or (*part.templates, cards.names["template"][template])
        found[name] = replace(
            part,
            data_sets=part.data_sets | {cards.names["data_set"][data_set]},
            templates=tuple(dict.fromkeys(known)),
        )
    return [found[name] for name in sorted(found)]


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


def _held_wordings(wish: HeldOut, part: _Part) -> list[str]:
    named = wish.wordings.get(part.task)
    if named is not None:
        return [f"{part.task}/{name.rpartition('/')[2]}" for name in named]
    # Rows that are in words already have a single wording, which cannot be held out from them.
    ids = sorted(part.templates, key=lambda id: _unit(f"{wish.salt}|{id}")) if len(part.templates) > 1 else []
    return ids[: wish.wordings_per_task]


def _wrong_names(wish: HeldOut, parts: Sequence[_Part]) -> list[str]:
    clusters = {part.cluster for part in parts}
    ids = {part.task: part for part in parts}
    problems = [
        f"cluster {name!r} is not known{near(name, clusters)}" for name in wish.clusters if name not in clusters
    ]
    problems += [
        f"task {name!r} is not known{near(name, ids)}" for name in (*wish.tasks, *wish.wordings) if name not in ids
    ]
    for id, names in wish.wordings.items():
        known = [template.rpartition("/")[2] for template in ids[id].templates] if id in ids else []
        for name in names if known else ():
            if name.rpartition("/")[2] not in known:
                problems.append(f"task {id!r} has no template {name!r}{near(name, known)}")
    if not 0 <= wish.instance_fraction < 1:
        problems.append(f"the fraction of instances is {wish.instance_fraction}, wanted from 0 up to below 1")
    if wish.wordings_per_task < 0:
        problems.append(f"wordings_per_task is {wish.wordings_per_task}, wanted 0 or more")
    return problems


def _mapping(file: YamlFile, value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key) or {}
    if not isinstance(found, dict):
        file.problem((key,), f"{key!r} is wanted as a mapping")
        return {}
    return found


def _ids(file: YamlFile, value: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """The ids of a list, or of a file with one a line."""
    if not isinstance(value.get("ids"), str):
        return file.texts(("instances",), value, "ids")
    path = folder / path_of(value["ids"])
    if not path.is_file():
        file.problem(
            ("instances", "ids"), f"there is no file {path}; 'ids' is a list of ids, or a file with one a line"
        )
        return ()
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _unit(text: str) -> float:
    """A number in [0, 1) that a text always has."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
