"""The reader ``preference``: answers that people or models have judged, in the shapes that the field uses.

{"prompt", "chosen", "rejected"}                 texts, or messages
{"chosen", "rejected"}                           whole conversations as messages, or as transcripts of hh-rlhf;
                                                 also `chosen_messages` and `rejected_messages`
{"conversations": [...], "chosen": {from, value}, "rejected": {from, value}}
{"prompt", "answers": [...], "ranks": [...]}     K of them; also `scores`, `responses`, `completions`, and answers
                                                 that are objects with a text and a score, rank or rating
{"messages" or "prompt" and "completion", "label": true}      thumbs: one answer, liked or not

take: comparisons    all of it, for a reward model or DPO (default)
take: best           the best answer alone, as a conversation to tune on
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.core.errors import nearest
from tunesmith.core.types import Comparison, Message
from tunesmith.data.readers.openai import message, messages_key
from tunesmith.data.readers.shape import chat, conversation, digest_of, fetch, items, maybe, need, shown, tools
from tunesmith.data.readers.sharegpt import system, turn
from tunesmith.data.tasks.reader import Found, Key, Sign, Unusable, row_reader
from tunesmith.data.tasks.task import Task

TAKE = ("comparisons", "best")
_LISTS = ("answers", "responses", "completions", "generations")
_SCORES = ("scores", "ranks", "rank", "ratings", "rating")
_OF_ONE = ("score", "rating", "overall_score", "fine-grained_score", "rank")
_PAIRS = (("chosen", "rejected"), ("chosen_messages", "rejected_messages"))
_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")


def _fits(row: Any) -> bool:
    if not isinstance(row, Mapping):
        return False
    if any(chosen in row and rejected in row for chosen, rejected in _PAIRS):
        return True
    if isinstance(row.get("label"), bool):
        return messages_key(row) is not None or "completion" in row or "conversations" in row
    return any(isinstance(row.get(key), list) and len(row[key]) > 1 for key in _LISTS) and (
        "prompt" in row or "instruction" in row or "question" in row
    )


@row_reader(
    "preference",
    keys={"take": Key("text", required=False)},
    sign=Sign(_fits, "objects with `chosen` and `rejected`, several judged answers, or a true/false `label`", 5),
)
def preference(row: Any, task: Task) -> Iterator[Found]:
    take = task.settings.get("take", "comparisons")
    if take not in TAKE:
        close = nearest(take, TAKE)
        raise Unusable(f"`take` is {take!r}" + (f"; did you mean {close!r}?" if close else f", wanted one of {TAKE}"))
    prompt, answers, scores = _judged(row)
    _check(prompt, answers, scores)
    best = max(range(len(answers)), key=lambda i: scores[i])
    able = tools(row)
    if take == "comparisons":
        # The same answers may have been judged otherwise by another person: that is another row.
        id = digest_of([*prompt, *(m for answer in answers for m in answer)], able, scores, *map(len, answers))
        yield Comparison(prompt, answers, scores, id=id, tools=able)
    elif len(answers) == 1 and scores[0] <= 0:
        raise Unusable("its only answer was not liked")
    else:
        yield conversation([*prompt, *answers[best]], able)


Judged = tuple[tuple[Message, ...], tuple[tuple[Message, ...], ...], tuple[float, ...]]


def _judged(row: Any) -> Judged:
    label = fetch(row, "label")
    keys = next((pair for pair in _PAIRS if any(fetch(row, key) is not None for key in pair)), None)
    if isinstance(label, bool) or (isinstance(label, int | float) and label in (0, 1) and keys is None):
        return _thumb(row)
    return _pair(row, *keys) if keys else _ranking(row)


def _pair(row: Any, good: str, bad: str) -> Judged:
    chosen, rejected = fetch(row, good), fetch(row, bad)
    before = _prompt(row)
    if before:
        return before, (_answer(chosen, good, before), _answer(rejected, bad, before)), (1.0, 0.0)
    a, b = _whole(chosen, good), _whole(rejected, bad)
    same = 0
    while same < min(len(a), len(b)) - 1 and a[same] == b[same]:
        same += 1
    # The sides part at an answer: turns of the user that differ belong to what is judged.
    while same and a[same].role != "assistant":
        same -= 1
    return a[:same], (a[same:], b[same:]), (1.0, 0.0)


def _thumb(row: Any) -> Judged:
    liked = (1.0 if fetch(row, "label") else 0.0,)
    if fetch(row, "completion") is not None:
        before = _prompt(row)
        return before, (_answer(fetch(row, "completion"), "completion", before),), liked
    key = messages_key(row)
    whole = [message(m) for m in items(row, key)] if key else [*system(row), *map(turn, items(row, "conversations"))]
    return tuple(whole[:-1]), ((whole[-1],),), liked


def _ranking(row: Any) -> Judged:
    key = next((key for key in _LISTS if isinstance(fetch(row, key), list)), None)
    if key is None:
        raise Unusable("has neither `chosen` and `rejected`, nor judged answers, nor a `label`")
    before = _prompt(row)
    found = items(row, key)
    answers = tuple(_answer(_text_of(one), key, before) for one in found)
    judged = next((key for key in _SCORES if isinstance(fetch(row, key), list)), None)
    if judged:
        values: Sequence[Any] = items(row, judged)
        name = judged
    else:
        name = next((k for k in _OF_ONE if isinstance(found[0], Mapping) and k in found[0]), "")
        values = [one.get(name) if isinstance(one, Mapping) else None for one in found]
    if len(values) != len(answers):
        raise Unusable(f"has {len(answers)} answers, but {len(values)} {judged}")
    scores = []
    for value in values:
        try:
            score = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        if not math.isfinite(score):
            raise Unusable(f"an answer's {name or 'score'} is {shown(value)}, wanted a number")
        scores.append(-score if name.startswith("rank") else score)
    return before, answers, tuple(scores)


def _text_of(one: Any) -> Any:
    if not isinstance(one, Mapping) or "role" in one or "from" in one:
        return one
    return next((one[key] for key in ("text", "response", "answer", "completion", "content") if key in one), None)


def _prompt(row: Any) -> tuple[Message, ...]:
    """What comes before the answers, where the row says it apart from them."""
    for key in ("prompt", "question", "instruction"):
        value = fetch(row, key)
        if isinstance(value, list) and value:
            return (*system(row), *map(message, value))
        if value is not None:
            text, given = need(row, key), maybe(row, "input")
            text = f"{text}\n\n{given}" if given.strip() else text
            if "\n\nHuman:" in text:
                return _transcript(text)
            # hh-rlhf and many sets after it give the prompt and, in `chosen`, the prompt again.
            return (*system(row), Message("user", text))
    if fetch(row, "conversations") is None:
        return ()
    value = items(row, "conversations")
    if isinstance(value[0], Mapping) and "from" in value[0]:
        return (*system(row), *map(turn, value))
    return (*system(row), *map(message, value))


def _answer(value: Any, key: str, before: tuple[Message, ...]) -> tuple[Message, ...]:
    """An answer; whole conversations that repeat the prompt lose it."""
    if isinstance(value, str):
        if "\n\nAssistant:" in value and "\n\nHuman:" in value:
            value_messages = _transcript(value)
            return _after(value_messages, before, key)
        if not value.strip():
            raise Unusable(f"`{key}` is empty")
        return (Message("assistant", value.strip()),)
    if isinstance(value, Mapping):
        return ((turn if "from" in value else message)(value),)
    if isinstance(value, list) and value:
        return _after(tuple(map(message, value)), before, key)
    raise Unusable(f"`{key}` is {shown(value)}, wanted an answer")


def _after(whole: tuple[Message, ...], before: tuple[Message, ...], key: str) -> tuple[Message, ...]:
    if whole[0].role == "assistant":
        return whole
    if whole[: len(before)] != before:
        raise Unusable(f"`{key}` does not begin with the prompt")
    return whole[len(before) :]


def _whole(value: Any, key: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        return _transcript(value)
    if isinstance(value, list) and value:
        return tuple((turn if isinstance(m, Mapping) and "from" in m else message)(m) for m in value)
    raise Unusable(f"`{key}` is {shown(value)}, wanted a conversation")


def _transcript(text: str) -> tuple[Message, ...]:
    """``\\n\\nHuman: ...\\n\\nAssistant: ...`` as messages."""
    parts = _SPEAKER.split(text if text.startswith("\n\n") else "\n\n" + text)
    if len(parts) < 3 or parts[0].strip():
        raise Unusable("is no transcript with `Human:` and `Assistant:` turns")
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [Message(roles[parts[i]], parts[i + 1].strip()) for i in range(1, len(parts) - 1, 2)]
    joined: list[Message] = []
    for one in turns:
        # A speaker named twice in a row went on speaking: the sets hold such rows.
        if joined and joined[-1].role == one.role:
            both = "\n\n".join(text for text in (joined[-1].content, one.content) if text)
            joined[-1] = Message(one.role, both)
        else:
            joined.append(one)
    return tuple(joined)


def _check(prompt: tuple[Message, ...], answers: tuple[tuple[Message, ...], ...], scores: tuple[float, ...]) -> None:
    if not prompt or not any(m.role == "user" and m.content.strip() for m in prompt):
        raise Unusable("has no question")
    for answer in answers:
        if answer and answer[0].role == "assistant":
            chat([*prompt, *answer])
        if not answer or answer[0].role != "assistant":
            raise Unusable("has an answer that is not the assistant's")
        if not any(m.content.strip() or m.tool_calls for m in answer if m.role == "assistant"):
            raise Unusable("has an empty answer")
    if len(answers) > 1 and all(answer == answers[0] for answer in answers):
        raise Unusable("all its answers are the same")
    if len(answers) > 1 and len(set(scores)) == 1:
        raise Unusable("no answer is better than another")
