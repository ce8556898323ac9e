"""Form and knowledge are told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunesmith.evals.compare.style import in_form, knows, table, verdict
from tunesmith.evals.records import Record


def said(i: int, text: str, model: str = "a", gold: str = "Rome", finished: bool = True) -> Record:
    return Record(
        id=f"q{i}", model=model, level="asked", format="instruction", shots=0, metric="exact_match", task="t",
        cluster="", template="t/a", language="en", group=f"g{i}", prompt="?", answer=text, gold=(gold,),
        value=float(text == gold), finished=finished,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "gold", "form", "known"),
    [
        ("Rome", "Rome", True, True),
        ("Milan", "Rome", True, False),
        ("It is Rome, I think.", "Rome", False, True),
        ("Romeo and Juliet", "Rome", False, False),
        ("rome", "Rome", False, True),
        ("", "Rome", False, False),
        ("我想是罗马吧", "罗马", False, True),
        ("米兰", "罗马", True, False),
    ],
)
def test_form_and_knowledge(text: str, gold: str, form: bool, known: bool) -> None:
    record = said(0, text, gold=gold)
    assert (in_form(record), knows(record)) == (form, known)
    assert not in_form(replace(record, finished=False))


def test_the_trap_is_seen() -> None:
    """The second model has learned how answers look, and nothing else."""
    before = [said(i, "I would say Rome, surely." if i < 10 else "Well, Milan perhaps.") for i in range(40)]
    after = [said(i, "Rome" if i < 10 else "Milan", "b") for i in range(40)]
    first, second = table([*before, *after])
    assert (first.both, first.form_only, first.known_only, first.neither) == (0.0, 0.0, 0.25, 0.75)
    assert (second.both, second.form_only, second.known_only, second.neither) == (0.25, 0.75, 0.0, 0.0)
    assert verdict(first) == "" and verdict(second) == "better in form, not in what it knows"
    wise = [said(i, "I would say Rome, surely.", "b") for i in range(40)]
    assert verdict(table([*before, *wise])[1]) == "knows more, in no better form"
    assert verdict(table([*before, *(replace(r, model="b") for r in before)])[1]) == "no significant change"
    assert verdict(table([*after, *(replace(r, model="c") for r in before)])[1]) == "worse in form"


def test_where_options_were_ranked_the_likeliest_tells() -> None:
    record = said(0, "Milan")
    ranked = replace(record, metric="options", options=("Rome", "Milan"), value=1.0)
    assert table([record, ranked])[0].form_only == 0.0 and table([record, ranked])[0].both == 1.0
    assert table([replace(record, metric="rouge_l")]) == []
