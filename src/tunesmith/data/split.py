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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunesmith.data.yaml_file import YamlFile, near
from tunesmith.errors import DataError, RecipeError
from tunesmith.types import LEVELS, Conversation, Level

Place = Literal["train", "wording", "instance", "task", "cluster", "neither"]
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
        file.check_keys(("instances",), instances, ("fraction", "groups"))
        found = cls(
            clusters=file.texts((), value, "clusters"),
            tasks=file.texts((), value, "tasks"),
            wordings={task: file.texts(("wordings",), wordings, task) for task in wordings},
            wordings_per_task=int(_number(file, value, (), "wordings_per_task")),
            instance_fraction=_number(file, instances, ("instances",), "fraction"),
            groups=file.texts(("instances",), instances, "groups"),
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
        lists = {key: tuple(value[key]) for key in ("clusters", "tasks", "groups") if key in value}
        return cls(**{**value, **lists})

    def chooses(self, group: str) -> bool:
        """Whether the hash of its name holds a group out: SHA-256 of ``<salt>|<group>``, its first 8 bytes as
        a number below 2^64, against the fraction."""
        return group in self._groups or _unit(f"{self.salt}|{group}") < self.instance_fraction

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(self.groups)


@dataclass(frozen=True, slots=True)
class Portion:
    """A task as the split sees it."""

    task: str
    cluster: str
    data_set: str
    """What its rows were made of: no data set may be trained on and be the stuff of a held-out task or cluster."""
    templates: tuple[str, ...]
    """Full ids."""
    groups: frozenset[str]


@dataclass(frozen=True)
class Split:
    """``HeldOut`` applied: the place of every pair of example and template."""

    wish: HeldOut
    clusters: frozenset[str]
    tasks: frozenset[str]
    """Held-out tasks of seen clusters."""
    wordings: frozenset[str]
    """Held-out templates, by full id."""
    groups: frozenset[str]
    """Every group that training must not touch."""

    @classmethod
    def make(cls, wish: HeldOut, portions: Sequence[Portion]) -> Split:
        """Check the wish against what there is, all problems at once, and apply it."""
        problems = _wrong_names(wish, portions)
        clusters = frozenset(wish.clusters)
        held = frozenset(wish.tasks)
        out = [portion for portion in portions if portion.cluster in clusters or portion.task in held]
        trained = [portion for portion in portions if portion not in out]
        wordings = {t for portion in trained for t in _held_wordings(wish, portion)}
        groups = {group for portion in out for group in portion.groups}
        groups |= {group for portion in trained for group in portion.groups if wish.chooses(group)}
        sets = {portion.data_set: portion.task for portion in out}
        for portion in trained:
            if portion.templates and wordings.issuperset(portion.templates):
                count = len(portion.templates)
                problems.append(f"all {count} wordings of task {portion.task!r} are held out; leave one to train on")
            if portion.data_set in sets:
                problems.append(
                    f"task {portion.task!r} is made of the data set {portion.data_set!r}, and so is the held-out task "
                    f"{sets[portion.data_set]!r}; hold out both, or neither"
                )
            elif portion.groups and portion.groups <= groups:
                mates = sorted(other.task for other in out if other.groups & portion.groups)
                why = (
                    f"they are asked about by the held-out task {mates[0]!r}; hold out both, or neither"
                    if mates
                    else (f"lower the fraction ({wish.instance_fraction}), or change the salt")
                )
                problems.append(f"all {len(portion.groups)} rows of task {portion.task!r} are held out: {why}")
        if not trained and portions:
            problems.append("every task is held out; nothing is left to train on")
        if problems:
            raise DataError("What is held out does not fit the tasks:\n" + "\n".join(problems))
        return cls(wish, clusters, held, frozenset(wordings), frozenset(groups))

    def place(self, cluster: str, task: str, group: str, template: str) -> Place:
        """Where one row belongs."""
        if cluster in self.clusters:
            return "cluster"
        if task in self.tasks:
            return "task"
        if group in self.groups:
            return "neither" if template in self.wordings else "instance"
        return "wording" if template in self.wordings else "train"


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

    @property
    def example(self) -> str:
        return self.id.rpartition("@")[0]


@dataclass(frozen=True)
class SplitProof:
    """What stands on which side. Another program can check it from this alone; with the rows, fully."""

    format: str
    wish: HeldOut
    groups: tuple[str, ...]
    """Every group that is held out: by the hash of its name, or because a held-out task asks about it."""
    train: tuple[ProofRow, ...]
    held_out: Mapping[Level, tuple[ProofRow, ...]]
    """Everything that was held out, also what a sample of it left undrawn."""
    data_sets: Mapping[str, str] = field(default_factory=dict)
    """What the rows of each task were made of."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` reads."""
        return {
            "format": self.format,
            "held_out": self.wish.to_json(),
            "groups": list(self.groups),
            "data_sets": dict(sorted(self.data_sets.items())),
            "train": [list(row) for row in self.train],
            "levels": {level: [list(row) for row in rows] for level, rows in self.held_out.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SplitProof:
        """The proof that ``to_json`` wrote."""
        return cls(
            value["format"],
            HeldOut.from_json(value["held_out"]),
            tuple(value["groups"]),
            tuple(ProofRow(*row) for row in value["train"]),
            {level: tuple(ProofRow(*row) for row in rows) for level, rows in value["levels"].items()},
            value["data_sets"],
        )

    def write(self, path: Path) -> None:
        """One JSON object."""
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> SplitProof:
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    @property
    def counts(self) -> dict[str, int]:
        """Rows of training and of each level."""
        return {"train": len(self.train), **{level: len(rows) for level, rows in self.held_out.items()}}


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
    problems: list[str] = []
    ids = {row.id for row in proof.train}
    groups = {row.group for row in proof.train}
    prompts = {row.prompt for row in proof.train}
    if len(ids) < len(proof.train):
        problems.append(f"{len(proof.train) - len(ids)} training rows have an id that another one has")
    for level, rows in proof.held_out.items():
        if level not in LEVELS or level == "seen":
            problems.append(f"there is no held-out level {level!r}; known: {', '.join(LEVELS[1:])}")
        problems += _both(f"level {level!r}: ids", [row.id for row in rows if row.id in ids])
        problems += _both(f"level {level!r}: prompts", [row.id for row in rows if row.prompt in prompts])
        if level != "wording":
            problems += _both(f"level {level!r}: groups", [row.group for row in rows if row.group in groups])
    problems += _shared_sets(proof)
    problems += _out_of_place(proof)
    known = {row.id: row for row in (*proof.train, *(row for rows in proof.held_out.values() for row in rows))}
    sides: list[tuple[str, Iterable[Conversation], frozenset[str]]] = []
    if train is not None:
        sides.append(("train", train, frozenset(ids)))
    for name, given in (held_out or {}).items():
        of_level = ids if name == "seen" else {row.id for row in proof.held_out.get(name, ())}
        sides.append((name, given, frozenset(of_level)))
    for side, conversations, allowed in sides:
        for conversation in conversations:
            if conversation.id not in allowed:
                problems.append(f"{side}: row {conversation.id} is not in the proof")
            elif prompt_digest(conversation, proof.format) != known[conversation.id].prompt:
                problems.append(f"{side}: row {conversation.id} has another prompt than the proof says")
            elif conversation.cluster != known[conversation.id].cluster:
                problems.append(f"{side}: row {conversation.id} is of another cluster than the proof says")
    if problems:
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise DataError("The split does not hold:\n" + "\n".join([*problems[:20], *more]))


def prompt_digest(conversation: Conversation, format: str = "instruction") -> str:
    """16 hex digits of SHA-256 over all messages before the answer, as JSON ``[[role, text], ...]``. With the
    format ``none`` the answer too: there the bare input is the same in all tasks, and says nothing."""
    messages = conversation.messages if format == "none" else conversation.prompt
    text = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shared_sets(proof: SplitProof) -> list[str]:
    """Data sets of which training rows are made, and rows of held-out tasks or clusters too."""
    trained = {proof.data_sets.get(row.task, row.task) for row in proof.train}
    problems: list[str] = []
    for level in ("task", "cluster"):
        held = {proof.data_sets.get(row.task, row.task) for row in proof.held_out.get(level, ())}
        problems += _both(f"level {level!r}: data sets", sorted(held & trained))
    return problems


def _out_of_place(proof: SplitProof) -> Iterator[str]:
    """Every row whose place is not what the declared rule gives, computed here a second time."""
    wish = proof.wish
    wordings = {f"{task}/{name.rpartition('/')[2]}" for task, names in wish.wordings.items() for name in names}
    held = frozenset(proof.groups)
    counted = {row.template for row in proof.held_out.get("wording", ())} - wordings
    per_task: dict[str, int] = {}
    for template in counted:
        task = template.rpartition("/")[0]
        per_task[task] = per_task.get(task, 0) + 1
    for task, count in sorted(per_task.items()):
        if task in wish.wordings or count > wish.wordings_per_task:
            yield f"task {task!r} holds out {count} wordings that the rule does not name"
    wordings |= counted
    sides: list[tuple[str, Sequence[ProofRow]]] = [("train", proof.train), *proof.held_out.items()]
    for side, rows in sides:
        for row in rows:
            if row.cluster in wish.clusters:
                wanted = "cluster"
            elif row.task in wish.tasks:
                wanted = "task"
            elif row.group in held or wish.chooses(row.group):
                wanted = "neither" if row.template in wordings else "instance"
            else:
                wanted = "wording" if row.template in wordings else "train"
            if side != wanted:
                yield f"row {row.id} stands in {side!r}; by the rule its place is {wanted!r}"


def _both(what: str, found: list[str]) -> list[str]:
    if not found:
        return []
    unique = sorted(set(found))
    return [f"{what} on both sides: {len(unique)}, such as {', '.join(unique[:3])}"]


def _held_wordings(wish: HeldOut, portion: Portion) -> list[str]:
    named = wish.wordings.get(portion.task)
    if named is not None:
        return [f"{portion.task}/{name.rpartition('/')[2]}" for name in named]
    # Rows that are in words already have a single wording, which cannot be held out from them.
    ids = sorted(portion.templates, key=lambda id: _unit(f"{wish.salt}|{id}")) if len(portion.templates) > 1 else []
    return ids[: wish.wordings_per_task]


def _wrong_names(wish: HeldOut, portions: Sequence[Portion]) -> list[str]:
    clusters = {portion.cluster for portion in portions}
    ids = {portion.task: portion for portion in portions}
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


def _number(file: YamlFile, value: Mapping[str, Any], where: tuple[str, ...], key: str) -> float:
    found = value.get(key, "0")
    try:
        return float(found)
    except (TypeError, ValueError):
        file.problem((*where, key), f"{key!r} is {found!r}, wanted a number")
        return 0.0


def _unit(text: str) -> float:
    """A number in [0, 1) that a text always has."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
