"""Conversations in the files of other trainers: a row as the JSON that they read.

    messages    {"messages": [{"role", "content"}], "tools"}         TRL, Axolotl, OpenAI
    sharegpt    {"conversations": [{"from", "value"}], "tools"}      LLaMA-Factory, FastChat
    alpaca      {"instruction", "input", "output", "history"}        Stanford Alpaca and many after it

A row that the format cannot hold is set aside with the reason. A new format is a function from a row to JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tunesmith.data.reader import Unusable
from tunesmith.registry import Registry
from tunesmith.types import Conversation, SetAside

Writer = Callable[[Conversation], dict[str, Any]]
WRITERS: Registry[Writer] = Registry("Format to write")


def written(rows: Iterable[Conversation], name: str) -> Iterator[str | SetAside]:
    """Each row as a line of JSON, or why there is none."""
    write = WRITERS[name]
    for row in rows:
        try:
            yield json.dumps(write(row), ensure_ascii=False)
        except Unusable as error:
            yield SetAside(row.id, str(error), row.source)


@WRITERS.add("messages")
def messages(row: Conversation) -> dict[str, Any]:
    out: dict[str, Any] = {"messages": [message.as_dict() for message in row.messages]}
    return out | ({"tools": list(row.tools)} if row.tools else {})


@WRITERS.add("sharegpt")
def sharegpt(row: Conversation) -> dict[str, Any]:
    speakers = {"user": "human", "assistant": "gpt", "tool": "observation"}
    out: dict[str, Any] = {}
    turns = []
    for message in row.messages:
        if message.role == "system":
            out["system"] = message.content
        elif message.tool_calls:
            if message.content:
                raise Unusable("a message both speaks and calls tools, which ShareGPT cannot hold")
            calls = [call["function"] for call in message.tool_calls]
            value = calls[0] if len(calls) == 1 else calls
            turns.append({"from": "function_call", "value": json.dumps(value, ensure_ascii=False)})
        else:
            turns.append({"from": speakers[message.role], "value": message.content})
    out["conversations"] = turns
    return out | ({"tools": json.dumps(list(row.tools), ensure_ascii=False)} if row.tools else {})


@WRITERS.add("alpaca")
def alpaca(row: Conversation) -> dict[str, Any]:
    talk = [message for message in row.messages if message.role != "system"]
    if row.tools or any(message.role == "tool" or message.tool_calls for message in talk):
        raise Unusable("it calls tools, which Alpaca cannot hold")
    system = next((message.content for message in row.messages if message.role == "system"), "")
    past = [[talk[i].content, talk[i + 1].content] for i in range(0, len(talk) - 2, 2)]
    out: dict[str, Any] = {"instruction": talk[-2].content, "input": "", "output": talk[-1].content}
    return out | ({"system": system} if system else {}) | ({"history": past} if past else {})
