"""From tasks to conversations: what is trained on, what is held out at which level, and the books of both.

    tasks --read--> examples --split--> (example, template) pairs --render--> Built(train, held_out, ledger, proof)
                --> rows in words --split-----------------------------------^

The split comes first, by id alone. Then every pair is rendered, and where a training row has the prompt of
a held-out one, the training row goes. Only then is anything drawn: ``per_level`` rows of each level, and for
a curve ``clusters`` or ``templates_per_task`` of the training side. A smaller draw is part of a larger one,
so that a curve shows the size and not the luck; the held-out side is the same for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tunesmith.data.examples import Read, read
from tunesmith.data.ledger import Ledger, Step, by_reason
from tunesmith.data.split import HeldOut, Portion, ProofRow, Split, SplitProof, check_split, prompt_digest
from tunesmith.data.task import Task
from tunesmith.data.template import Template, Unrenderable, render, wordings
from tunesmith.errors import DataError
from tunesmith.types import LEVELS, Conversation, Example, Level, SetAside

HELD: tuple[Level, ...] = LEVELS[1:]


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives."""

    format: str
    train: Mapping[str, tuple[Conversation, ...]]
    """By task id."""
    held_out: Mapping[Level, tuple[Conversation, ...]]
    """By level; ``seen`` is a sample of the training rows."""
    ledger: Ledger
    proof: SplitProof


@dataclass(frozen=True, slots=True)
class _Row:
    """A row in words on its way."""

    conversation: Conversation
    prompt: str
    task: Task
    pair: tuple[Example, Template] | None = None
    """What it was rendered from, if it was."""


def build(
    tasks: Sequence[Task],
    held_out: HeldOut,
    *,
    seed: int,
    format: str = "instruction",
    examples: Read | None = None,
    per_level: int | None = None,
    clusters: int | None = None,
    templates_per_task: int | None = None,
    shots: int = 0,
) -> Built:
    """Build one format. ``examples`` saves reading again for the next format. ``shots`` puts so many answered
    examples of the task before each held-out question; training rows stay without."""
    for name, value in (("per_level", per_level), ("clusters", clusters), ("templates_per_task", templates_per_task)):
        if value is not None and value < 1:
            raise DataError(f"{name} is {value}, wanted 1 or more.")
    found = read(tasks) if examples is None else examples
    parts = portions(tasks, found, format)
    split = Split.make(held_out, parts)

    sides: dict[str, list[_Row]] = {place: [] for place in ("train", *HELD)}
    broken: list[SetAside] = []
    neither = pairs = 0
    for task in tasks:
        for template in wordings(task, format):
            for example in found.examples[task.id]:
                pairs += 1
                place = split.place(task.cluster, task.id, example.group, template.id)
                if place == "neither":
                    neither += 1
                    continue
                try:
                    conversation = render(example, template, task)
                except Unrenderable as error:
                    broken.append(SetAside(f"{example.id}@{template.id}", str(error), example.source))
                    continue
                row = _Row(conversation, prompt_digest(conversation, format), task, (example, template))
                sides[place].append(row)
        for conversation in found.conversations.get(task.id, ()):
            pairs += 1
            c = conversation
            place = split.place(c.cluster, c.task, c.group, c.template)
            if place == "neither":
                neither += 1
            else:
                sides[place].append(_Row(c, prompt_digest(c, format), task))

    train, leaks = _without_leaks(sides["train"], [row for level in HELD for row in sides[level]])
    _check_left(parts, split, train)
    kept, cut = _cut(train, seed, clusters, templates_per_task)
    proof = SplitProof(
        format,
        held_out,
        tuple(sorted(split.groups)),
        _proof_rows(kept),
        {level: _proof_rows(sides[level]) for level in HELD},
        {part.task: part.data_set for part in parts},
    )
    check_split(proof)

    drawn = {level: _draw(kept if level == "seen" else sides[level], per_level, seed) for level in LEVELS}
    few: list[SetAside] = []
    pools = _pools(tasks, found, split) if shots else {}
    asked = {level: tuple(_asked(rows, pools, shots, seed, few)) for level, rows in drawn.items()}
    trained: dict[str, list[Conversation]] = {}
    for row in kept:
        trained.setdefault(row.conversation.task, []).append(row.conversation)

    undrawn = sum(len(sides[level]) - len(drawn[level]) for level in HELD)
    few_held = sum(len(drawn[level]) - len(asked[level]) for level in HELD)
    ledger = Ledger(
        (
            Step("rows read", found.rows, _count(found), by_reason(found.set_aside)),
            Step(
                "pairs of example and template" if not any(found.conversations.values()) else "rows in words",
                pairs,
                {"train": len(train), **{level: len(sides[level]) for level in HELD}},
                {
                    **by_reason(broken),
                    **by_reason(leaks),
                    **_some("new wording of a held-out instance: no level", neither),
                },
            ),
            Step("training rows", len(train), {"train": len(kept)}, cut),
            Step(
                "held-out rows",
                sum(len(sides[level]) for level in HELD),
                {level: len(asked[level]) for level in HELD},
                {**_some(f"not among the {per_level} drawn for a level", undrawn), **_some(TOO_FEW, few_held)},
            ),
        ),
        (*found.set_aside, *broken, *leaks, *few),
    )
    return Built(format, {task: tuple(rows) for task, rows in trained.items()}, asked, ledger, proof)


TOO_FEW = "the task has too few other examples to show"


def _without_leaks(train: list[_Row], held: list[_Row]) -> tuple[list[_Row], list[SetAside]]:
    """Training rows that do not ask what a held-out row asks, word for word; and the others."""
    asked = {row.prompt: row.conversation.id for row in held}
    kept = [row for row in train if row.prompt not in asked]
    leaks = [
        SetAside(
            row.conversation.id, f"asks word for word what is held out: {asked[row.prompt]}", row.conversation.source
        )
        for row in train
        if row.prompt in asked
    ]
    return kept, leaks


def portions(tasks: Sequence[Task], found: Read, format: str = "instruction") -> list[Portion]:
    """The tasks as the split sees them; rows in words may bring tasks of their own."""
    parts = []
    for task in tasks:
        if examples := found.examples.get(task.id, ()):
            names = tuple(template.id for template in task.templates)
            parts.append(Portion(task.id, task.cluster, task.name, names, frozenset(e.group for e in examples)))
        rows: dict[tuple[str, str], list[Conversation]] = {}
        for row in found.conversations.get(task.id, ()):
            rows.setdefault((row.task, row.cluster), []).append(row)
        for (name, cluster), mine in rows.items():
            data_set = task.name if name == task.id else name
            templates = tuple(dict.fromkeys(row.template for row in mine))
            parts.append(Portion(name, cluster, data_set, templates, frozenset(row.group for row in mine)))
    return parts


def _check_left(parts: Sequence[Portion], split: Split, train: list[_Row]) -> None:
    """A task that should be trained on and has lost every row is a mistake that no ledger line should hide."""
    there = {row.conversation.task for row in train}
    lost = [
        p.task for p in parts if p.task not in there and p.task not in split.tasks and p.cluster not in split.clusters
    ]
    if lost:
        raise DataError(
            f"No training row is left of {', '.join(lost)}: each could not be rendered, or asks word for word "
            "what is held out. Look at the rows with: tunesmith data sample " + lost[0]
        )


def _cut(rows: list[_Row], seed: int, clusters: int | None, templates: int | None) -> tuple[list[_Row], dict[str, int]]:
    """Only so many clusters, only so many templates of each task; and how many rows that costs."""
    aside: dict[str, int] = {}
    if clusters is not None:
        names = _first({row.conversation.cluster for row in rows}, clusters, seed)
        kept = [row for row in rows if row.conversation.cluster in names]
        aside |= _some(f"not in the {clusters} clusters trained on", len(rows) - len(kept))
        rows = kept
    if templates is not None:
        of_task: dict[str, set[str]] = {}
        for row in rows:
            of_task.setdefault(row.conversation.task, set()).add(row.conversation.template)
        names = {name for ids in of_task.values() for name in _first(ids, templates, seed)}
        kept = [row for row in rows if row.conversation.template in names]
        aside |= _some(f"not in the {templates} templates trained on per task", len(rows) - len(kept))
        rows = kept
    return rows, aside


def _draw(rows: list[_Row], count: int | None, seed: int) -> list[_Row]:
    """So many rows, one from each task in turn, in an order of their own that the seed gives.

    Each metric makes a figure of its own, so one with few tasks (refusals) is drawn on up to a sixth of ``count``."""
    if count is None or count >= len(rows):
        return rows
    by_task: dict[str, list[_Row]] = {}
    for row in rows:
        by_task.setdefault(row.conversation.task, []).append(row)
    turns = [
        (turn, _order(seed, task), row)
        for task, mine in by_task.items()
        for turn, row in enumerate(sorted(mine, key=lambda row: _order(seed, row.conversation.id)))
    ]
    turns.sort(key=lambda entry: entry[:2])
    drawn, left = [row for _, _, row in turns[:count]], [row for _, _, row in turns[count:]]
    had = Counter(row.conversation.metric for row in drawn)
    for row in left:
        if had[row.conversation.metric] < count // 6:
            had[row.conversation.metric] += 1
            drawn.append(row)
    return drawn


def _pools(tasks: Sequence[Task], found: Read, split: Split) -> dict[str, list[Example]]:
    """The examples of each task that may be shown with their answers: those that are trained on. A held-out
    task has none, and shows the rows that would be trained on if it were not held out."""
    pools = {}
    for task in tasks:
        out = task.id in split.tasks or task.cluster in split.clusters
        rows = found.examples[task.id]
        pools[task.id] = [e for e in rows if not (split.wish.chooses(e.group) if out else e.group in split.groups)]
    return pools


def _asked(
    rows: list[_Row], pools: Mapping[str, list[Example]], shots: int, seed: int, aside: list[SetAside]
) -> Iterable[Conversation]:
    """The rows as they are asked: with other examples before them, never of the same group or question."""
    for row in rows:
        if not shots:
            yield row.conversation
            continue
        if row.pair is None:
            aside.append(SetAside(row.conversation.id, TOO_FEW, row.conversation.source))
            continue
        asked, template = row.pair
        shown: list[Example] = []
        order = sorted(pools[row.task.id], key=lambda e: _order(seed, f"{row.conversation.id}<{e.id}"))
        for example in order:
            if len(shown) == shots:
                break
            if example.group == asked.group:
                continue
            try:
                other = render(example, template, row.task)
            except Unrenderable:
                continue
            if other.prompt != row.conversation.prompt:
                shown.append(example)
        if len(shown) < shots:
            aside.append(SetAside(row.conversation.id, TOO_FEW, asked.source))
            continue
        yield render(asked, template, row.task, shown)


def _proof_rows(rows: list[_Row]) -> tuple[ProofRow, ...]:
    return tuple(ProofRow(r.conversation.id, r.conversation.cluster, r.conversation.group, r.prompt) for r in rows)


def _first(names: set[str], count: int, seed: int) -> set[str]:
    return set(sorted(names, key=lambda name: _order(seed, name))[:count])


def _order(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()


def _count(found: Read) -> dict[str, int]:
    kinds = {"examples": found.examples, "conversations": found.conversations, "comparisons": found.comparisons}
    counts = {name: sum(map(len, rows.values())) for name, rows in kinds.items()}
    return {name: count for name, count in counts.items() if count or name == "examples"}


def _some(reason: str, count: int) -> dict[str, int]:
    return {reason: count} if count else {}
