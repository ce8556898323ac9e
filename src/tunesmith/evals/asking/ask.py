"""Ask models, by generation and by how likely options are, and keep every answer.

    records = ask(Local(model, fmt), rows_by_level, name="tuned")     what it said to each question
    records += ask_text(model, fmt, clozes, name="tuned")             what it still knows of its plain text
    records += ask_passages(who, passages, name="tuned")              how well it predicts plain text

A question is asked in two ways: the model answers freely, and where there are options it is also seen which
of them it finds likeliest. Free answers are scored by the metric that the question's own task names. A question that
fails (a server refuses it, say) has no record: it is a ``Failure``, told with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tunesmith.ask.respondent import LIKELIEST, Draw, Failed, Format, Ids, Respondent, Said
from tunesmith.core.errors import EvalError, TunesmithError
from tunesmith.core.types import Conversation, Level, Message
from tunesmith.evals.metrics import METRICS, WITHOUT_GOLD, Answer
from tunesmith.evals.metrics.final_answer import conclusion
from tunesmith.evals.metrics.options import chosen
from tunesmith.evals.records import TEXT_FORMAT, Record

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
    draw: Draw = LIKELIEST
    """How answers are drawn."""
    samples: int = 1
    """Answers to each question; each is a record of its own."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that a model did not get to answer. It is in no figure, and asked again next time."""

    model: str
    level: str
    shots: int
    id: str
    reason: str


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
    failures: list[Failure] | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Ask everything. ``name``, ``format`` and ``shots`` are what the records will say. A list given as ``traces`` gets
    the tokens, where they are ours. A list given as ``failures`` gets what failed; without one, and where everything
    fails, that is an error."""
    asked: list[tuple[str, Conversation]] = [(level, row) for level, many in rows.items() for row in many]
    _check(asked, who, how)
    many = how.samples
    questions = [replace(row, messages=row.prompt) for _, row in asked for _ in range(many)]
    questions, said = _talk(who, questions, how, progress)
    likely = _ranked(who, asked, questions[::many], how)
    without = _unasked(who, [asked[i][1] for i in likely], how)
    failed: list[Failure] = []

    def id_of(number: int) -> str:
        id = asked[number // many][1].id
        return f"{id}~{number % many + 1}" if many > 1 else id

    def score(number: int) -> list[Record]:
        i, found = number // many, said[number]
        (level, row), scores = asked[i], likely.get(i, ())
        about = (name, level, format, shots, _shown(questions[number], shots))
        records: list[Record] = []
        chosen_from = () if isinstance(scores, Failed) else scores
        answer = Answer("", True, chosen_from, without.get(row.options, ()))
        if isinstance(found, Said):
            text, whole = (conclusion(found.text), found.text) if how.thoughts else (found.text, "")
            answer = replace(answer, text=text, finished=found.finished)
            if not (isinstance(scores, Failed) and row.metric.startswith("options")):
                sample = number % many + 1 if many > 1 else 0
                records += _records(row, answer, row.metric, *about, whole, sample)
        if i in likely and not isinstance(scores, Failed) and number % many == 0:
            records += _records(row, answer, "options", *about, "", 0)
        return records

    for number, found in enumerate(said):
        if isinstance(found, Failed):
            level = asked[number // many][0]
            failed.append(Failure(name, level, shots, id_of(number), found.reason))
    for i, scores in likely.items():
        if isinstance(scores, Failed):
            failed.append(Failure(name, asked[i][0], shots, asked[i][1].id, scores.reason))
    _tell(failed, failures, len(said), name)
    if traces is not None:
        for number, found in enumerate(said):
            if isinstance(found, Said) and (tokens := who.tokens(questions[number], found)):
                traces.append(Trace(name, shots, id_of(number), *tokens))
    # Programs run side by side, as many as there are processors; all else is quick.
    with ThreadPoolExecutor(os.cpu_count() if any(row.metric == "passes" for _, row in asked) else 1) as pool:
        return [record for some in pool.map(score, range(len(said))) for record in some]


def _tell(failed: Sequence[Failure], failures: list[Failure] | None, asked: int, name: str) -> None:
    """Hand over what failed, or end it: where nobody wants to know, and where there is nothing else."""
    if failures is not None and len(failed) < max(asked, 1):
        failures += failed
        return
    if failed:
        raise EvalError(
            f"{name} failed at {len(failed):,} of {asked:,} questions: {failed[0].reason} ({failed[0].id}). What was "
            "answered is kept; the same command asks the others again."
        )


def _talk(
    who: Respondent, questions: Sequence[Conversation], how: How, progress: Progress | None
) -> tuple[list[Conversation], list[Said | Failed]]:
    """The questions as they were asked in the end, and the last answer to each. A talk ends where an answer fails."""
    turns = [_turns(question, how.own) for question in questions]
    asked = [replace(question, messages=own[0]) for question, own in zip(questions, turns, strict=True)]
    said = list(who.say(asked, limit=how.max_new_tokens, draw=how.draw, progress=progress))
    for number in range(1, max(map(len, turns), default=1)):
        on = [i for i, own in enumerate(turns) if len(own) > number and isinstance(said[i], Said)]
        for i in on:
            found = said[i]
            assert isinstance(found, Said)
            answer = Message("assistant", found.text)
            asked[i] = replace(asked[i], messages=(*asked[i].messages, answer, *turns[i][number]))
        again = who.say([asked[i] for i in on], limit=how.max_new_tokens, draw=how.draw)
        for i, found in zip(on, again, strict=True):
            said[i] = found
    return asked, said


def _ranked(
    who: Respondent, asked: Sequence[tuple[str, Conversation]], questions: Sequence[Conversation], how: How
) -> dict[int, tuple[float, ...] | Failed]:
    """The log-likelihood of each option, by the number of the row, where options are to be ranked."""
    some = [i for i, (_, row) in enumerate(asked) if how.rank and who.ranks and set(row.options) & set(row.answers)]
    return dict(zip(some, who.likely([questions[i] for i in some]), strict=True))


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


def _unasked(who: Respondent, rows: Sequence[Conversation], how: How) -> dict[tuple[str, ...], tuple[float, ...]]:
    """How likely each option is as an answer to an empty question, by the options of a row."""
    if not how.unasked:
        return {}
    known = list(dict.fromkeys(option for row in rows for option in row.options))
    empty = Conversation((Message("user", ""),))
    asked = [replace(empty, options=tuple(known[i : i + 64])) for i in range(0, len(known), 64)]
    scores: list[float] = []
    for some in who.likely(asked):
        if isinstance(some, Failed):
            raise EvalError(f"How likely options are without a question cannot be told: {some.reason}.")
        scores += some
    found = dict(zip(known, scores, strict=True))
    return {row.options: tuple(found[option] for option in row.options) for row in rows}


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
    sample: int,
) -> list[Record]:
    """One for an answer; where a metric looks at several things in it, one for each."""
    value = _value(metric, answer, row)
    only = Record(
        id=f"{row.id}~{sample}" if sample else row.id,
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
        sample=sample,
    )
    if isinstance(value, float):
        return [only]
    return [replace(only, id=f"{only.id}#{i}", value=one) for i, one in enumerate(value)]


def _value(metric: str, answer: Answer, row: Conversation) -> float | Sequence[float]:
    """The figure of a metric, which may be somebody's own."""
    measure = METRICS[metric]
    try:
        value = measure(answer, row)
    except TunesmithError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise EvalError(
            f"The metric {metric!r} failed at the answer {answer.text[:80]!r} to {row.id}: {what}."
        ) from error
    return float(value) if isinstance(value, int) else value


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
