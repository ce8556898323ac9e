"""The metric ``word_recall``: how many of the given answer's words does the model's answer have?"""

from __future__ import annotations

import tunesmith as ts


@ts.metric("word_recall")
def word_recall(answer: ts.Answer, row: ts.Conversation) -> float:
    """From 0 to 1; of several given answers the nearest counts."""
    said = set(answer.text.lower().split())
    given = [set(text.lower().split()) for text in row.answers]
    return max((len(said & words) / len(words) for words in given if words), default=0.0)
