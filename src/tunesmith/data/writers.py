"""Conversations in the files of other trainers: a row as the JSON that they read.

    messages    {"messages": [{"role", "content"}], "tools"}         TRL, Axolotl, OpenAI
    sharegpt    {"conversations": [{"from", "value"}], "tools"}      LLaMA-Factory, FastChat
    alpaca      {"instruction", "input", "output", "history"}        Stanford Alpaca and many after it

    for line in written(rows, "sharegpt"): ...      a ``Line``, with what of the row it lost; or a ``SetAside``

A row that makes no sense in a format is set aside with the reason. What a format has no place for is left out of the
row and named, so that whoever exports can say it. A new format is a function from a row to JSON, and the names of what
it loses; what it writes, our own reader of that format reads again (``tests/data/test_writers.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tunesmith.core.registry import Registry
from tunesmith.core.types import Conversation, Message, SetAside
from tunesmith.data.tasks.reader import Unusable

Writer = Callable[[Conversation], tuple[dict[str, Any], list[str]]]
"""The row as JSON, and what it lost."""
WRITERS: Registry[Writer] = Registry("Format to write")
THOUGHTS = "thoughts (`reasoning_content`)"
MARKS = "marks of what is learned (`learn`)"
IDS = "ids of tool calls"
NAMES = "names of speakers (`name`)"


class Line(NamedTuple):
    """A row as it is written."""

    text: str
    lost: tuple[str, ...]
    """What of the row the format cannot hold."""


def written(rows: Iterable[Conversation], name: str) -> Iterator[Line | SetAside]:
    """Each row as a line of JSON, or why there is none."""
    write = WRITERS[name]
    for row in rows:
        try:
            value, lost = write(row)
            yield Line(json.dumps(value, ensure_ascii=False, allow_nan=False), tuple(dict.fromkeys(lost)))
        except Unusable as error:
            yield SetAside(row.id, str(error), row.source)


def _lost(row: Conversation, *names: str) -> list[str]:
    """Which of these the row has."""
    there = {
        THOUGHTS: any(m.reasoning_content for m in row.messages),
        MARKS: any(m.learn is not None for m in row.messages),
        IDS: any(m.tool_call_id or any("id" in call for call in m.tool_calls) for m in row.messages),
        NAMES: any(m.name for m in row.messages),
    }
    return [name for name in names if there[name]]


@WRITERS.add("messages")
def messages(row: Conversation) -> tuple[dict[str, Any], list[str]]:
    marked = any(message.learn is not None for message in row.messages)
    out: dict[str, Any] = {"messages": [_message(message, marked) for message in row.messages]}
    out |= {"tools": list(row.tools)} if row.tools else {}
    return out, [MARKS] if any(m.learn and m.role != "assistant" for m in row.messages) else []


def _message(message: Message, marked: bool) -> dict[str, Any]:
    """A message, with OpenAI's ``weight`` for what is learned: in a row with marks every answer has one."""
    out = message.as_dict()
    out.pop("learn", None)
    return out | ({"weight": int(bool(message.learn))} if marked and message.role == "assistant" else {})


@WRITERS.add("sharegpt")
def sharegpt(row: Conversation) -> tuple[dict[str, Any], list[str]]:
    speakers = {"user": "human", "assistant": "gpt", "tool": "observation"}
    out: dict[str, Any] = {}
    turns = []
    for message in row.messages:
        if message.role == "system":
            out["system"] = message.content
        elif message.tool_calls:
            if message.content.strip():
                raise Unusable("a message both speaks and calls tools, which ShareGPT cannot hold")
            calls = [call["function"] for call in message.tool_calls]
            value = calls[0] if len(calls) == 1 else calls
            turns.append({"from": "function_call", "value": json.dumps(value, ensure_ascii=False)})
        else:
            turns.append({"from": speakers[message.role], "value": message.content})
    out["conversations"] = turns
    out |= {"tools": json.dumps(list(row.tools), ensure_ascii=False)} if row.tools else {}
    return out, _lost(row, THOUGHTS, MARKS, IDS, NAMES)


@WRITERS.add("alpaca")
def alpaca(row: Conversation) -> tuple[dict[str, Any], list[str]]:
    talk = [message for message in row.messages if message.role != "system"]
    if row.tools or any(message.role == "tool" or message.tool_calls for message in talk):
        raise Unusable("it calls tools, which Alpaca cannot hold")
    if [message.role for message in talk] != ["user", "assistant"] * (len(talk) // 2) or not talk:
        raise Unusable("question and answer do not take turns, which Alpaca cannot hold")
    system = next((message.content for message in row.messages if message.role == "system"), "")
    past = [[talk[i].content, talk[i + 1].content] for i in range(0, len(talk) - 2, 2)]
    out: dict[str, Any] = {"instruction": talk[-2].content, "input": "", "output": talk[-1].content}
    out |= ({"system": system} if system else {}) | ({"history": past} if past else {})
    return out, _lost(row, THOUGHTS, MARKS, NAMES)
