"""The reader ``oasst``: OpenAssistant's trees of messages, in which people answered and ranked.

    take: paths     every path from the first question to an answer that nothing follows (default)
    take: best      of every tree the path of the best-ranked answers
    take: ranked    for every question with several ranked answers a Comparison

Deleted messages, and those that reviewers refused, end a path before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.core.errors import nearest
from tunesmith.core.types import Comparison, Conversation, Message
from tunesmith.data.readers.shape import ROLES, fetch, list_of, maybe, need, shown
from tunesmith.data.tasks.reader import Found, Key, Unusable, has, row_reader
from tunesmith.data.tasks.task import Task

TAKE = ("paths", "best", "ranked")


@row_reader("oasst", keys={"take": Key("text", required=False)}, sign=has("message_tree_id", "prompt"))
def oasst(row: Any, task: Task) -> Iterator[Found]:
    take = task.settings.get("take", "paths")
    if take not in TAKE:
        close = nearest(take, TAKE)
        raise Unusable(f"`take` is {take!r}" + (f"; did you mean {close!r}?" if close else f", wanted one of {TAKE}"))
    tree, root = need(row, "message_tree_id"), fetch(row, "prompt")
    if not _good(root):
        raise Unusable("the question was deleted or refused by reviewers")
    found: list[tuple[Message, ...] | _Ranked] = []
    found += _paths(root, ()) if take == "paths" else _best(root) if take == "best" else _ranked(root, ())
    if not found:
        raise Unusable("has no answers that are ranked" if take == "ranked" else "has no answer")
    language = maybe(root, "lang") or task.language
    for i, one in enumerate(found):
        about: dict[str, Any] = {"id": f"{tree}/{i}", "group": tree, "language": language}
        if isinstance(one, _Ranked):
            yield Comparison(one.prompt, one.answers, one.scores, **about)
        else:
            yield Conversation(one, **about)


@dataclass(frozen=True, slots=True)
class _Ranked:
    prompt: tuple[Message, ...]
    answers: tuple[tuple[Message, ...], ...]
    scores: tuple[float, ...]


def _message(node: Any) -> Message:
    speaker = need(node, "role")
    if speaker not in ("prompter", "assistant"):
        raise Unusable(f"nobody knows the role {shown(speaker)}")
    return Message(ROLES[speaker], need(node, "text"))


def _good(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and not node.get("deleted")
        and node.get("review_result") is not False
        and bool(need(node, "text").strip())
    )


def _replies(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that may be used, the best first; unranked ones behind, in their order."""
    good = [reply for reply in list_of(node, "replies") if _good(reply)]
    return sorted(good, key=lambda reply: len(good) if (rank := _rank(reply)) is None else rank)


def _rank(node: Mapping[str, Any]) -> int | None:
    """Where reviewers put an answer among the others, 0 for the best."""
    rank = node.get("rank")
    if isinstance(rank, float) and rank.is_integer():
        rank = int(rank)
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int)):
        raise Unusable(f"`rank` is {shown(rank)}, wanted a whole number")
    return rank


def _paths(node: Mapping[str, Any], before: tuple[Message, ...]) -> Iterator[tuple[Message, ...]]:
    here = (*before, _message(node))
    below = [path for reply in _replies(node) for path in _paths(reply, here)]
    if below:
        yield from below
    elif here[-1].role == "assistant":
        yield here


def _best(node: Mapping[str, Any]) -> Iterator[tuple[Message, ...]]:
    here = [_message(node)]
    while replies := _replies(node):
        node = replies[0]
        here.append(_message(node))
    if here[-1].role != "assistant":
        here.pop()
    if here:
        yield tuple(here)


def _ranked(node: Mapping[str, Any], before: tuple[Message, ...]) -> Iterator[_Ranked]:
    here = (*before, _message(node))
    replies = _replies(node)
    ranked = [(reply, rank) for reply in replies if (rank := _rank(reply)) is not None]
    if len(ranked) > 1 and here[-1].role == "user":
        yield _Ranked(here, tuple((_message(r),) for r, _ in ranked), tuple(-float(rank) for _, rank in ranked))
    for reply in replies:
        yield from _ranked(reply, here)
