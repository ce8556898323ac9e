"""The reader ``tickets``: a ticket with a subject and a thread of posts, as a help desk exports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tunesmith as ts

ROLES = {"customer": "user", "agent": "assistant"}


@ts.row_reader("tickets", sign=ts.has("ticket", "subject", "thread"))
def tickets(row: Mapping[str, Any], task: ts.Task) -> Iterator[ts.Conversation]:
    """One conversation a ticket. ``Unusable`` sets a row aside, with its file, line and reason."""
    posts = row["thread"]
    unknown = {post["by"] for post in posts} - set(ROLES)
    if unknown:
        raise ts.Unusable(f"a post is by {min(unknown)!r}, wanted customer or agent")
    messages = [ts.Message(ROLES[post["by"]], post["text"]) for post in posts]
    if not messages or messages[-1].role != "assistant":
        raise ts.Unusable("the last post is not the agent's, so there is nothing to learn")
    first = ts.Message("user", f"{row['subject']}\n\n{messages[0].content}")
    yield ts.Conversation((first, *messages[1:]), id=str(row["ticket"]))
