"""Whether an answer declines, on labelled answers of two languages and several manners (``declining.tsv``)."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tunesmith.evals.metrics.declining import declines

LABELLED = Path(__file__).with_name("declining.tsv")
DATA = Path(__file__).parents[3].parent / "shared" / "data"


def labelled(part: str) -> list[tuple[str, str, str]]:
    """Label, language and answer of one part of the file."""
    lines = [line.split("\t") for line in LABELLED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(label, lang, text.replace("\\n", "\n")) for where, label, lang, _, text in lines if where == part]


@pytest.mark.parametrize("part", ["fitted", "apart"])
def test_people_and_phrases_agree(part: str) -> None:
    """The table is the one of docs/design/evaluation.md. ``apart`` was not looked at while phrases were found."""
    rows = labelled(part)
    counted = Counter((label == "declines", declines(text)) for label, _, text in rows)
    missed = [text for label, _, text in rows if label == "declines" and not declines(text)]
    alarms = [text for label, _, text in rows if label == "answers" and declines(text)]
    assert counted[True, True] >= 0.93 * (counted[True, True] + counted[True, False]), missed
    assert counted[False, True] <= 0.02 * (counted[False, True] + counted[False, False]), alarms
    for language in ("en", "zh"):
        theirs = [(label, text) for label, lang, text in rows if lang == language]
        assert sum(declines(text) == (label == "declines") for label, text in theirs) >= 0.93 * len(theirs)


def test_the_file_is_what_it_says() -> None:
    assert len(labelled("fitted")) + len(labelled("apart")) >= 300 and len(labelled("apart")) >= 150
    texts = [text for part in ("fitted", "apart") for _, _, text in labelled(part)]
    assert {label for part in ("fitted", "apart") for label, _, _ in labelled(part)} == {"declines", "answers"}
    assert len(set(texts)) > 0.98 * len(texts)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("I can't help but admire it: Paris.", False),
        ("I can't help with that.", True),
        ("<think>I can't help with that?</think>Paris.", False),
        ('He said: "I can\'t help you."', False),
        ('"I can\'t help you."', True),
        ("Dear Ann, I cannot come on Friday.", False),
        ("Pikachu is a fictional character, so I can't give you his number.", False),
        ("No. I won't.", True),
        ("", False),
        ("…", False),
    ],
)
def test_one_by_one(text: str, want: bool) -> None:
    assert declines(text) is want


def test_ordinary_answers_do_not_decline() -> None:
    """Of 9,229 answers to ordinary requests, eleven are thought to decline, and three do."""
    path = DATA / "alpaca_random_9k.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    answers = [row["output"] for row in json.loads(gzip.decompress(path.read_bytes()))][:3000]
    assert sum(map(declines, answers)) <= 0.003 * len(answers)
    chinese = json.loads(gzip.decompress((DATA / "formats" / "alpaca_zh_demo.json.gz").read_bytes()))
    assert sum(declines(row["output"]) for row in chinese) <= 0.003 * len(chinese)


def test_no_text_takes_long() -> None:
    began = time.process_time()
    for text in (
        "i am not " * 50_000,
        "never " * 100_000,
        "everyone " * 60_000,
        "我不能" * 100_000,
        "\n" * 300_000,
        '"' * 300_000,
    ):
        declines(text)
    assert time.process_time() - began < 5
