"""Ask models, by generation and by how likely options are, and keep every answer.

    records = ask(model, fmt, rows_by_level, name="tuned")        what it said to each question
    records += ask_text(model, fmt, clozes, name="tuned")         what it still knows of its plain text

A question is asked in two ways: the model answers freely, and where there are options it is also seen which
of them it finds likeliest. Free answers are scored by the metric that the question's own task names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import EvalError
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.metrics.options import chosen
from tunesmith.evals.records import TEXT_FORMAT, Record
from tunesmith.types import Conversation, Encoded, Level, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.evals.cache import Answers
    from tunesmith.models.generate import Generated, Progress

Ids = NDArray[np.int32]


class Format(Protocol):
    """What evaluation needs of a chat format; ``chat.ChatFormat`` is one."""

    stop_ids: frozenset[int]

    def prompt(self, messages: Sequence[Message], /) -> Ids: ...

    def encode(self, messages: Sequence[Message], /) -> Encoded: ...

    def decode(self, ids: Sequence[int], /) -> str: ...

    def text_ids(self, text: str, /) -> Ids: ...


class Cloze(Protocol):
    """A statement of the pretraining text, cut before its answer."""

    @property
    def prompt(self) -> str: ...
    @property
    def before(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def rest(self) -> str: ...
    @property
    def relation(self) -> str: ...
    @property
    def fact(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def language(self) -> str: ...


def ask(
    model: PreTrainedModel,
    fmt: Format,
    rows: Mapping[Level, Sequence[Conversation]] | Mapping[str, Sequence[Conversation]],
    *,
    name: str,
    format: str = "instruction",
    shots: int = 0,
    max_new_tokens: int = 32,
    rank: bool = True,
    unasked: bool = False,
    alone: bool = False,
    known: Answers | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Ask one model everything once. ``name``, ``format`` and ``shots`` are what the records will say.

    ``max_new_tokens`` has to leave room for the longest right answer; that is checked. ``unasked`` also sees how likely
    options are without a question. ``alone`` takes one question after the other: slow, and the same to the last bit
    whatever else is asked. What is ``known`` of the model is not asked again.
    """
    from tunesmith.models.generate import generate, rank_options

    asked: list[tuple[str, Conversation]] = [(level, row) for level, many in rows.items() for row in many]
    _check(asked, fmt, max_new_tokens)
    prompts = [fmt.prompt(row.prompt) for _, row in asked]
    say = known.generate if known else partial(generate, model)
    said = say(prompts, stop_ids=fmt.stop_ids, max_new_tokens=max_new_tokens, alone=alone, progress=progress)
    ranked = [i for i, (_, row) in enumerate(asked) if rank and set(row.options) & set(row.answers)]
    chosen_from = [asked[i][1] for i in ranked]
    order = partial(known.rank_options if known else partial(rank_options, model), alone=alone)
    likely = dict(zip(ranked, _rank(order, fmt, chosen_from), strict=True))
    without = dict(zip(ranked, _unasked(order, fmt, chosen_from) if unasked else [], strict=False))

    records = []
    for i, ((level, row), found) in enumerate(zip(asked, said, strict=True)):
        answer = Answer(fmt.decode(found.ids), found.finished, likely.get(i, ()), without.get(i, ()))
        for metric in (row.metric, *(("options",) if i in likely else ())):
            records += _records(row, answer, metric, name, level, format, shots, row.group or row.id)
    return records


def _check(asked: Sequence[tuple[str, Conversation]], fmt: Format, max_new_tokens: int) -> None:
    """What would make every figure meaningless: no right answer, one that does not fit, a question asked twice."""
    problems, seen = [], set[tuple[str, str]]()
    longest: dict[str, int] = {}
    for level, row in asked:
        if (level, row.id) in seen:
            problems.append(f"{row.id}: asked twice at level {level!r}")
        seen.add((level, row.id))
        if not row.answers and not row.checks:
            problems.append(f"{row.id}: no right answer is given")
        for gold in row.answers:
            if gold not in longest:
                longest[gold] = len(fmt.text_ids(gold))
        if row.metric == "exact_match" and min((longest[g] for g in row.answers), default=0) >= max_new_tokens:
            problems.append(
                f"{row.id}: its answer takes {longest[row.answers[0]]} tokens and an end, "
                f"more than max_new_tokens={max_new_tokens}"
            )
    if problems:
        more = f"\n... and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise EvalError("These questions cannot be evaluated:\n" + "\n".join(problems[:10]) + more)


Order = Callable[[Sequence[Ids], Sequence[Sequence[Ids]]], "list[NDArray[np.float64]]"]


def _rank(order: Order, fmt: Format, rows: Sequence[Conversation]) -> list[tuple[float, ...]]:
    """How likely each option of each row is, its end included; ids come from where training takes them."""
    prompts: list[Ids] = []
    options: list[list[Ids]] = []
    for row in rows:
        prompt = fmt.prompt(row.prompt)
        prompts.append(prompt)
        many = []
        for option in row.options:
            whole = fmt.encode((*row.prompt, Message("assistant", option)))
            many.append(whole.ids[whole.learn])
        options.append(many)
    likely = order(prompts, options) if rows else []
    return [tuple(scores.tolist()) for scores in likely]


def _unasked(order: Order, fmt: Format, rows: Sequence[Conversation]) -> list[tuple[float, ...]]:
    """How likely each option is as an answer to an empty question."""
    known = list(dict.fromkeys(option for row in rows for option in row.options))
    empty = Conversation((Message("user", ""), Message("assistant", "")))
    asked = [replace(empty, options=tuple(known[i : i + 64])) for i in range(0, len(known), 64)]
    found = dict(zip(known, (x for scores in _rank(order, fmt, asked) for x in scores), strict=True))
    return [tuple(found[option] for option in row.options) for row in rows]


def _records(
    row: Conversation, answer: Answer, metric: str, name: str, level: str, format: str, shots: int, group: str
) -> list[Record]:
    """One for an answer; where a metric looks at several things in it, one for each."""
    value = METRICS[metric](answer, row)
    only = Record(
        id=row.id,
        model=name,
        level=level,
        format=format,
        shots=shots,
        metric=metric,
        task=row.task,
        cluster=row.cluster,
        template=row.template,
        language=row.language,
        group=group,
        prompt=_shown(row, shots),
        answer=chosen(answer, row) if metric == "options" else answer.text,
        gold=row.answers,
        value=value if isinstance(value, float) else 0.0,
        finished=answer.finished,
        options=row.options if metric == "options" else (),
        likely=answer.likely if metric == "options" else (),
        unasked=answer.unasked if metric == "options" else (),
    )
    if isinstance(value, float):
        return [only]
    return [replace(only, id=f"{row.id}#{i}", value=one) for i, one in enumerate(value)]


def _shown(row: Conversation, shots: int) -> str:
    turns = row.prompt[-1:] if shots else row.prompt
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{m.role}: {m.content}" for m in turns)


def ask_text(
    model: PreTrainedModel,
    fmt: Format,
    clozes: Sequence[Cloze],
    *,
    name: str,
    begin: Sequence[int] = (),
    progress: Progress | None = None,
) -> list[Record]:
    """Let the model go on with statements of its pretraining text; right is any answer that the text gives there.

    The prompt ends where a token of the whole statement ends, as it did in training: the space before the answer
    may belong to either side, and where words are not separated a token may hold the end of the prompt and
    the start of the answer.
    ``begin`` is what stood before every text in training, if anything did.
    """
    from tunesmith.models.generate import generate

    right: dict[str, set[str]] = {}
    for cloze in clozes:
        right.setdefault(cloze.prompt, set()).add(cloze.before + cloze.answer)
    prompts, most = [], 1
    for cloze in clozes:
        ids = fmt.text_ids(cloze.prompt + cloze.before + cloze.answer + cloze.rest)
        kept = len(ids) - 1
        given = cloze.prompt + cloze.before
        while kept > 1 and not given.startswith(fmt.decode(ids[:kept].tolist())):
            kept -= 1
        prompts.append(np.concatenate((np.array(begin, np.int32), ids[:kept])))
        most = max(most, len(ids) - kept)
    said = generate(model, prompts, stop_ids=fmt.stop_ids, max_new_tokens=most + 2, progress=progress)
    records = []
    for cloze, ids, found in zip(clozes, prompts, said, strict=True):
        text = _continued(fmt, ids, found, cloze.prompt)
        # The answer has to stand there whole: "Par" is not Paris, and "Parisian" is not either.
        hit = any(text.startswith(gold) and _ends(text, len(gold), cloze.rest) for gold in right[cloze.prompt])
        records.append(
            Record(
                id=f"{cloze.fact}.{cloze.language}@{cloze.prompt}",
                model=name,
                level="seen",
                format=TEXT_FORMAT,
                shots=0,
                metric="cloze",
                task=cloze.relation,
                cluster=cloze.group.partition("/")[0],
                template="",
                language=cloze.language,
                group=cloze.group,
                prompt=cloze.prompt,
                answer=text,
                gold=tuple(sorted(gold.strip() for gold in right[cloze.prompt])),
                value=float(hit),
                finished=found.finished,
            )
        )
    return records


def _continued(fmt: Format, prompt: Ids, found: Generated, text: str) -> str:
    """What the model wrote after ``text``; the prompt's ids may have ended a little before it."""
    whole = fmt.decode([*prompt.tolist(), *found.ids])
    return whole[len(text) :] if whole.startswith(text) else ""


def _ends(text: str, at: int, rest: str) -> bool:
    return text.startswith(rest, at) if rest else not text[at : at + 1].isalnum()
