"""How new a question is, by the training rows."""

from __future__ import annotations

import pytest

from tunesmith.core.types import Conversation
from tunesmith.evals.asking.levels import Trained


def row(fact: str, task: str = "capital.en", cluster: str = "geography", template: str = "what") -> Conversation:
    return Conversation((), f"{task}/{fact}@{task}/{template}", task, cluster, f"{task}/{template}", group=f"g/{fact}")


TRAINED = Trained.of([row("france"), row("italy"), row("france", "currency.en")])


@pytest.mark.parametrize(
    ("question", "level"),
    [
        (row("france"), "seen"),
        (row("france", template="say"), "wording"),
        (row("italy", "currency.en"), "wording"),  # the fact's group is known, in another task
        (row("spain"), "instance"),
        (Conversation((), "x", "capital.en", "geography"), "instance"),  # nothing is known of its group
        (row("france", "landmark.en"), "task"),
        (row("france", "colour.en", "things"), "cluster"),
    ],
)
def test_the_newest_thing_about_a_question(question: Conversation, level: str) -> None:
    assert TRAINED.level(question) == level
