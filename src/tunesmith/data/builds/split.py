"""The split: what is held out from training, decided by id before anything is drawn.

    cluster    all tasks of a held-out cluster
    task       a held-out task of a cluster whose other tasks are trained on
    instance   a trained task in trained wordings, on facts that are not trained on
    wording    a trained task on trained facts, in words that are not trained on
    seen       what was trained on

``HeldOut`` is the wish, as in ``held_out.yaml``. ``Split`` is the wish applied to tasks and their rows: it
gives every row, a pair (example, template) or one in words, exactly one place. What must not be torn apart is a
``group``: the same fact in all languages and tasks. A group is held out when a hash of its name says so, or
when a held-out task asks about it; so no held-out instance, task or cluster shares a group with training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, near
from tunesmith.data.builds.fingerprints import Cards, members
from tunesmith.data.builds.held_out import PLACES, HeldOut, unit

if TYPE_CHECKING:
    pass


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


def _held_wordings(wish: HeldOut, part: _Part) -> list[str]:
    named = wish.wordings.get(part.task)
    if named is not None:
        return [f"{part.task}/{name.rpartition('/')[2]}" for name in named]
    # Rows that are in words already have a single wording, which cannot be held out from them.
    ids = sorted(part.templates, key=lambda id: unit(f"{wish.salt}|{id}")) if len(part.templates) > 1 else []
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
