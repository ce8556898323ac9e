"""The contract of readers, checked for each row: texts are texts, and can be written as UTF-8.

A reader that passed a number or half a surrogate pair on would end the whole build many steps later, with an error that
names no row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tunesmith.core.types import Comparison, Conversation, Message

NO_UNICODE = "holds half a surrogate pair, which is not Unicode text"


def fault(row: Any) -> str:
    """What is wrong with a row that a reader gives, or nothing."""
    try:
        # A join takes texts alone, and is quick: this is done for every row.
        "".join([value for _, value in _texts(row)]).encode()
    except UnicodeEncodeError:
        return NO_UNICODE
    except TypeError:
        name, value = next((name, value) for name, value in _texts(row) if not isinstance(value, str))
        return f"`{name}` is of type {type(value).__name__}, wanted a text"
    for name, value in _objects(row):
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            return NO_UNICODE
        except (TypeError, ValueError) as error:
            return f"`{name}` cannot be written as JSON: {error}"
    return ""


def _texts(row: Any) -> list[tuple[str, Any]]:
    """All that has to be a text, with its name."""
    found: list[tuple[str, Any]] = [("id", row.id), ("group", row.group)]
    if not isinstance(row, Conversation | Comparison):  # a record
        for name, value in row.fields.items():
            found.append(("name of a field", name))
            found += [(name, one) for one in (value if isinstance(value, tuple) else (value,))]
        return found
    found += (("task", row.task), ("cluster", row.cluster), ("language", row.language), ("licence", row.licence))
    if isinstance(row, Conversation):
        found += (("template", row.template), ("metric", row.metric))
        found += [("answers", text) for text in (*row.answers, *row.options, *row.tags)]
    for message in _messages(row):
        found += (("role", message.role), ("content", message.content))
        for name in ("reasoning_content", "tool_call_id", "name"):
            if (value := getattr(message, name)) is not None:
                found.append((name, value))
    return found


def _objects(row: Any) -> Iterator[tuple[str, Any]]:
    """All that is kept as JSON, with its name."""
    if isinstance(row, Conversation | Comparison):
        if row.tools:
            yield "tools", row.tools
        for message in _messages(row):
            if message.tool_calls:
                yield "tool_calls", message.tool_calls
    if isinstance(row, Conversation) and row.checks:
        yield "checks", row.checks
    if isinstance(row, Comparison):
        yield "scores", row.scores


def _messages(row: Conversation | Comparison) -> Iterable[Message]:
    if isinstance(row, Conversation):
        return row.messages
    return [*row.prompt, *(message for answer in row.answers for message in answer)]
