"""Ask models, by generation and by how likely options are, and keep every answer.

    records = ask(Local(model, fmt), rows_by_level, name="tuned")     what it said to each question
    records += ask_text(model, fmt, clozes, name="tuned")             what it still knows of its plain text
    records += ask_passages(who, passages, name="tuned")              how well it predicts plain text

A question is asked in two ways: the model answers freely, and where there are options it is also seen which
of them it finds likeliest. Free answers are scored by the metric that the question's own task names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tunesmith.errors import EvalError
from tunesmith.evals.metrics import METRICS, WITHOUT_GOLD, Answer
from tunesmith.evals.metrics.final_answer import conclusion
from tunesmith.evals.metrics.options import chosen
from tunesmith.evals.records import TEXT_FORMAT, Record
from tunesmith.evals.respondent import Format, Ids, Respondent, Said
from tunesmith.types import Conversation, Level, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.models.generate import Generated, Progress


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


@dataclass(frozen=True, slots=True)
class How:
    """How questions are asked; a suite says it."""

    max_new_tokens: int = 32
    """It has to leave room for the longest right answer; that is checked."""
    rank: bool = True
    """Whether options are ranked where there are some."""
    unasked: bool = False
    """Whether it is also seen how likely options are without a question."""
    own: bool = False
    """Of several turns the model gives all answers itself; else the earlier ones are those of the data."""
    thoughts: bool = False
    """Whether the model may think aloud before it answers: then what it concludes is scored."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The tokens of a question and its answer, as a person may read them."""

    model: str
    shots: int
    id: str
    prompt: tuple[str, ...]
    said: tuple[str, ...]


def ask(
    who: Respondent,
    rows: Mapping[Level, Sequence[Conversation]] | Mapping[str, Sequence[Conversation]],
    *,
    name: str,
    format: str = "instruction",
    shots: int = 0,
    how: How = How(),
    traces: list[Trace] | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Ask everything once. ``name``, ``format`` and ``shots`` are what the records will say. A list given as ``traces``
    gets the tokens, where they are ours."""
    asked: list[tuple[str, Conversation]] = [(level, row) for level, many in rows.items() for row in many]
    _check(asked, who, how)
    questions = [replace(row, messages=row.prompt) for _, row in asked]
    questions, said = _talk(who, questions, how, progress)
    ranked = [i for i, (_, row) in enumerate(asked) if how.rank and who.ranks and set(row.options) & set(row.answers)]
    chosen_from = [questions[i] for i in ranked]
    likely = dict(zip(ranked, who.likely(chosen_from), strict=True))
    without = dict(zip(ranked, _unasked(who, chosen_from) if how.unasked else [], strict=False))

    def score(i: int) -> list[Record]:
        (level, row), question, found = asked[i], questions[i], said[i]
        text = conclusion(found.text) if how.thoughts else found.text
        answer = Answer(text, found.finished, likely.get(i, ()), without.get(i, ()))
        whole = found.text if how.thoughts else ""
        shown = _shown(question, shots)
        metrics = (row.metric, *(("options",) if i in likely else ()))
        return [r for m in metrics for r in _records(row, answer, m, name, level, format, shots, shown, whole)]

    if traces is not None:
        told = zip(asked, questions, said, strict=True)
        every = ((row.id, who.tokens(question, found)) for (_, row), question, found in told)
        traces += [Trace(name, shots, id, *tokens) for id, tokens in every if tokens]
    # Programs run side by side, as many as there are processors; all else is quick.
    with ThreadPoolExecutor(os.cpu_count() if any(row.metric == "passes" for _, row in asked) else 1) as pool:
        return [record for some in pool.map(score, range(len(asked))) for record in some]


def _talk(
    who: Respondent, questions: Sequence[Conversation], how: How, progress: Progress | None
) -> tuple[list[Conversation], list[Said]]:
    """The questions as they were asked in the end, and the last answer to each."""
    turns = [_turns(question, how.own) for question in questions]
    asked = [replace(question, messages=own[0]) for question, own in zip(questions, turns, strict=True)]
    said = who.say(asked, limit=how.max_new_tokens, progress=progress)
    for number in range(1, max(map(len, turns), default=1)):
        on = [i for i, own in enumerate(turns) if len(own) > number]
        for i in on:
            answer = Message("assistant", said[i].text)
            asked[i] = replace(asked[i], messages=(*asked[i].messages, answer, *turns[i][number]))
        for i, found in zip(on, who.say([asked[i] for i in on], limit=how.max_new_tokens), strict=True):
            said[i] = found
    return asked, said


def _turns(question: Conversation, own: bool) -> list[tuple[Message, ...]]:
    """The messages in parts, after each of which the model answers. Without ``own`` that is after all of them; a
    question that follows another at once has no given answer, and an answer that calls tools is never the model's own,
    since what the tools would have said to it is not known."""
    parts: list[list[Message]] = [[]]
    messages = question.messages
    for i, message in enumerate(messages):
        last = i == len(messages) - 1
        if own and message.role == "assistant" and not message.tool_calls:
            continue
        parts[-1].append(message)
        after = None if last else messages[i + 1]
        if after is not None and message.role in ("user", "tool"):
            answered = after.role == "assistant" and not after.tool_calls
            if after.role == "user" or (own and answered):
                parts.append([])
    return [tuple(part) for part in parts]


def _check(asked: Sequence[tuple[str, Conversation]], who: Respondent, how: How) -> None:
    """What would make every figure meaningless: no right answer, one that does not fit, a question asked twice."""
    problems, seen = [], set[tuple[str, str]]()
    longest: dict[str, int | None] = {}
    for level, row in asked:
        if (level, row.id) in seen:
            problems.append(f"{row.id}: asked twice at level {level!r}")
        seen.add((level, row.id))
        if not row.answers and not row.checks and row.metric not in WITHOUT_GOLD:
            problems.append(f"{row.id}: no right answer is given")
        for gold in row.answers:
            if gold not in longest:
                longest[gold] = who.length(gold)
        shortest = min((length for g in row.answers if (length := longest[g]) is not None), default=0)
        if row.metric == "exact_match" and shortest >= how.max_new_tokens:
            problems.append(
                f"{row.id}: its answer takes {shortest} tokens and an end, "
                f"more than max_new_tokens={how.max_new_tokens}"
            )
    if problems:
        more = f"\n... and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise EvalError("These questions cannot be evaluated:\n" + "\n".join(problems[:10]) + more)


def _unasked(who: Respondent, rows: Sequence[Conversation]) -> list[tuple[float, ...]]:
    """How likely each option is as an answer to an empty question."""
    known = list(dict.fromkeys(option for row in rows for option in row.options))
    empty = Conversation((Message("user", ""),))
    asked = [replace(empty, options=tuple(known[i : i + 64])) for i in range(0, len(known), 64)]
    found = dict(zip(known, (x for scores in who.likely(asked) for x in scores), strict=True))
    return [tuple(found[option] for option in row.options) for row in rows]


def _records(
    row: Conversation,
    answer: Answer,
    metric: str,
    name: str,
    level: str,
    format: str,
    shots: int,
    shown: str,
    thoughts: str,
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
        group=row.group or row.id,
        prompt=shown,
        answer=chosen(answer, row) if metric == "options" else answer.text,
        gold=row.answers,
        value=value if isinstance(value, float) else 0.0,
        finished=answer.finished,
        thoughts=thoughts if metric != "options" else "",
        options=row.options if metric == "options" else (),
        likely=answer.likely if metric == "options" else (),
        unasked=answer.unasked if metric == "options" else (),
    )
    if isinstance(value, float):
        return [only]
    return [replace(only, id=f"{row.id}#{i}", value=one) for i, one in enumerate(value)]


def _shown(question: Conversation, shots: int) -> str:
    turns = question.messages[-1:] if shots else question.messages
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


def ask_passages(who: Respondent, passages: Sequence[Conversation], *, name: str) -> list[Record]:
    """How well a model predicts plain texts, each the only message of its row, in bits for each byte."""
    texts = [row.messages[0].content for row in passages]
    return [
        Record(
            id=row.id,
            model=name,
            level="asked",
            format=TEXT_FORMAT,
            shots=0,
            metric="bits_per_byte",
            task=row.task,
            cluster="",
            template="",
            language=row.language,
            group=row.id,
            prompt=text,
            answer="",
            gold=(),
            value=bits,
            finished=True,
        )
        for row, text, bits in zip(passages, texts, who.bits(texts), strict=True)
    ]


def _continued(fmt: Format, prompt: Ids, found: Generated, text: str) -> str:
    """What the model wrote after ``text``; the prompt's ids may have ended a little before it."""
    whole = fmt.decode([*prompt.tolist(), *found.ids])
    return whole[len(text) :] if whole.startswith(text) else ""


def _ends(text: str, at: int, rest: str) -> bool:
    return text.startswith(rest, at) if rest else not text[at : at + 1].isalnum()
