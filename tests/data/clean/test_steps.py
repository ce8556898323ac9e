"""Every step on rows by hand: what it drops and why, what it mends, and what it must let be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.types import Comparison, Conversation, Message
from tunesmith.data.clean import Cleaner, Cleaning

LONG = "The river rises in the hills, flows past three towns, and reaches the sea. It is slow in summer. "


def row(asked: str, said: str, **values: Any) -> Conversation:
    return Conversation((Message("user", asked), Message("assistant", said)), "r@t", **values)


def only(**steps: Any) -> Cleaner:
    """A cleaner with these steps and no others."""
    return Cleaner(Cleaning.model_validate({"unicode": False, "empty": False, "repeated": False, **steps}))


def why(cleaner: Cleaner, asked: str, said: str, **values: Any) -> str:
    return cleaner.clean(row(asked, said, **values))[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("plain text", "plain text"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u00a0b\u2009c\u3000d", "a b c\u3000d"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("nul\x00 bell\x07", "nul bell"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("full-width：ＡＢ，①", "full-width：ＡＢ，①"),
        ("half \ud83d of a pair", "half  of a pair"),
        ("\n \n    def f():\n        return 1   \n\n", "    def f():\n        return 1"),
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467", "family \U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("line\u2028break", "line\nbreak"),
    ],
)
def test_unicode_mends(before: str, after: str) -> None:
    cleaner = only(unicode=True)
    clean, reason = cleaner.clean(row("q", before, answers=(before,)))
    assert (clean.messages[-1].content, clean.answers, reason) == (after, (after,), "")
    assert cleaner.changed["unicode"] == (before != after)


@pytest.mark.parametrize(
    ("step", "asked", "said", "reason"),
    [
        ("empty", "q", " \n", "the answer is empty"),
        ("empty", "  ", "a", "a turn of the user is empty"),
        ("empty", "q", "a", ""),
        ("truncated", "q", LONG * 4 + "Many of the people who live", "its last sentence has no end"),
        ("truncated", "q", LONG * 4 + "Then they go to the", "something must follow its last word"),
        ("truncated", "q", "Look:\n```python\nx = 1\n", "a code block is not closed"),
        ("truncated", "q", "Look:\n```python\nx = 1\n```", ""),
        ("truncated", "q", "Paris", ""),
        ("truncated", "q", LONG * 4 + "\n- apples\n- pears", ""),
        ("truncated", "q", LONG * 4, ""),
        ("truncated", "q", LONG * 4 + "So x = 12", ""),
        (
            "truncated",
            "q",
            "河流从山上流下来，经过三个城镇。" * 8 + "夏天的时候它流得很",
            "its last sentence has no end",
        ),
        ("truncated", "q", "河流从山上流下来，经过三个城镇。" * 8, ""),
        ("echo", LONG.strip(), LONG.upper(), "the answer repeats the prompt"),
        ("echo", LONG.strip(), LONG + "And so on.", "the answer begins with the whole prompt"),
        (
            "echo",
            "法国的首都是哪一座城市呢？请回答我的问题。",
            "法国的首都是哪一座城市呢？请回答我的问题。",
            "the answer repeats",
        ),
        ("echo", "Say yes", "Say yes", ""),
        ("echo", LONG, "It is a river.", ""),
        ("boilerplate", "q", "As an AI language model, I cannot eat.", "as an ai language model"),
        ("boilerplate", "q", "I don’t have personal opinions on that.", "i don't have personal opinions"),
        ("boilerplate", "q", "作为一个人工智能，我不能吃饭。", "作为一个人工智能"),
        ("boilerplate", "Write as an AI language model", "Language models are trained on text.", ""),
        ("repetition", "q", "I like it very much indeed. " * 20, "of its words"),
        ("repetition", "q", "yes\n" * 20, "of its lines"),
        ("repetition", "q", "我非常喜欢这个东西。" * 20, "of its words"),
        ("repetition", "q", LONG + "Nobody knows where it begins, or why the fish in it are blue and fat.", ""),
        ("self_instruct", "Do it now", "ok", "the instruction is too short"),
        ("self_instruct", "word " * 151, "ok", "the instruction is too long"),
        ("self_instruct", "Describe what the image shows.", "ok", "cannot see: image"),
        ("self_instruct", "Write a program that adds numbers.", "ok", "asks for a program"),
        ("self_instruct", "- name three big rivers", "ok", "begins with a mark"),
        ("self_instruct", "état of the five rivers", "ok", "does not begin in English"),
        ("self_instruct", "Repeat the words given here.\nfive words", "five words", "the answer is the input"),
        ("self_instruct", "Name three rivers of France.\nInput:", "The Seine", "the input ends with a colon"),
        ("self_instruct", "Name three rivers of France.", "The rivers are:", "the answer ends with a colon"),
        ("self_instruct", "Name three rivers of France.", "Seine, Rhône, Loire.", ""),
        ("language", "Frage", "Das ist ein deutscher Satz, und er ist nicht besonders lang.", ""),
    ],
)
def test_a_step_says_why(step: str, asked: str, said: str, reason: str) -> None:
    found = why(only(**{step: True}), asked, said)
    assert found.startswith(f"{step}: ") if reason else not found
    assert reason in found


def test_length_counts_words_and_characters() -> None:
    cleaner = only(length={"prompt_least": 2, "prompt_most": 5, "answer_most": 4})
    assert why(cleaner, "one two", "a b c d") == ""
    assert why(cleaner, "one", "a") == "length: the prompt is too short: 1 words, wanted 2"
    assert why(cleaner, "one two", "a b c d e") == "length: the answer is too long: 5 words, wanted at most 4"
    assert "5" in why(cleaner, "one two", "法国首都城")


def test_language_is_written_down_and_kept() -> None:
    german = "Das ist ein deutscher Satz, und er ist nicht besonders lang."
    cleaner = only(language={"keep": ["en", "zh"]})
    assert why(cleaner, "Frage", german) == "language: is in another language: de"
    clean, _ = cleaner.clean(
        row("什么？", "法国的首都是巴黎，它在塞纳河的两岸，人口超过二百万，是欧洲最大的城市之一。")
    )
    assert clean.language == "zh"
    assert cleaner.clean(row("What is 2 + 2?", "4"))[0].language == "en"


SECRETS = [
    ("Write to jane.doe+x@mail.example.org today", "Write to <EMAIL> today", "email"),
    ("call +44 20 7946 0958 or", "call <PHONE> or", "phone"),
    ("call (212) 555-0182 now", "call <PHONE> now", "phone"),
    ("打电话 138 0013 8000 给我", "打电话 <PHONE> 给我", "phone"),
    ("card 4111 1111 1111 1111, thanks", "card <CARD>, thanks", "card"),
    ("pay to GB82 WEST 1234 5698 7654 32 please", "pay to <ACCOUNT> please", "account"),
    ("SSN 078-05-1120.", "SSN <ID>.", "id"),
    ("身份证号11010519491231002X。", "身份证号<ID>。", "id"),
    ("ssh root@8.8.4.4 -p 22", "ssh root@<IP> -p 22", "ip"),
    ("key=AKIAIOSFODNN7EXAMPLE", "key=<SECRET>", "secret"),
    ("token ghp_" + "a1B2" * 9, "token <SECRET>", "secret"),
    ("postgres://admin:hunter2@db.local/x", "postgres://<SECRET>@db.local/x", "secret"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "<SECRET>", "secret"),
]


@pytest.mark.parametrize(("before", "after", "kind"), SECRETS)
def test_private_masks(before: str, after: str, kind: str) -> None:
    clean, reason = only(private=True).clean(row(before, "ok"))
    assert (clean.messages[0].content, clean.tags, reason) == (after, (f"masked:{kind}",), "")


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112",  # the check digit is wrong
        "11010519491231002Y and 110105194912310021",
        "GB82 WEST 1234 5698 7654 33",
        "from 1990 to 2005, 1,234,567.89 in 3.14159265 or 192.168.0.1 and 127.0.0.1",
        "12345 67890 12345 and 2021-03-04 10:11:12",
        "version 1.2.3.4.5, ISBN 978-3-16-148410-0",
        "me @ home, @name, a@b",
        "0000 0000 0000 0000",
    ],
)
def test_private_lets_be(text: str) -> None:
    clean, _ = only(private=True).clean(row(text, "ok"))
    assert clean.messages[0].content == text


def test_private_kinds_are_chosen() -> None:
    clean, _ = only(private={"kinds": ["phone"]}).clean(row("a@example.org, (212) 555-0182", "ok"))
    assert clean.messages[0].content == "a@example.org, <PHONE>"


def test_nothing_is_masked_in_grade_school_maths(shared_data: Path) -> None:
    with gzip.open(shared_data / "gsm8k_test.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    cleaner = only(private=True)
    assert len(rows) == 1319
    assert [r for r in rows if cleaner.clean(row(r["question"], r["answer"]))[0].tags] == []


def test_safety_tags_and_drops() -> None:
    tagging, dropping = only(safety=True), only(safety={"drop": ["weapons"]})
    bomb = row("How do I make a bomb?", "I will not help with that.")
    assert tagging.clean(bomb)[0].tags == ("safety:weapons",)
    assert dropping.clean(bomb)[1] == "safety: holds weapons: make a bomb"
    assert tagging.clean(row("他想自杀", "请打热线。"))[0].tags == ("safety:self_harm",)
    for harmless in ("He scunthorped the classic shitake", "a bombastic killer whale", "How do I make a bath bomb?"):
        assert tagging.clean(row(harmless, "ok"))[0].tags == ()


def test_quality_is_a_tag_and_a_bar() -> None:
    good = row("Where does the river rise?", LONG.strip())
    bad = row("Where does the river rise?", "where does the the ### ??? ###")
    cleaner = only(quality={"least": 0.75})
    assert cleaner.clean(good)[0].tags == ("quality:1.0",)
    assert cleaner.clean(bad)[1].startswith("quality: scores too low: 0.")


def test_a_scorer_of_ones_own() -> None:
    from tunesmith.data.clean.steps.quality import SCORERS

    @SCORERS.add("test-length")
    def by_length(row: Conversation) -> float:
        return min(1.0, len(row.messages[-1].content) / 10)

    assert only(quality={"scorer": "test-length", "least": 0.5}).clean(row("q", "abc"))[1].endswith("0.30")
    with pytest.raises(ValueError, match="is not a quality scorer; there are: heuristic"):
        Cleaning.model_validate({"quality": {"scorer": "lenght"}})


def test_switches() -> None:
    assert [name for name, _ in Cleaning().steps()] == ["unicode", "empty"]
    found = Cleaning.model_validate({"unicode": False, "echo": True, "length": {"answer_most": 3}, "near": {}})
    assert [name for name, _ in found.steps()] == ["empty", "echo", "length"]
    assert not found.near.on
    assert Cleaning.model_validate({"near": {"threshold": 0.9}}).near.on
    with pytest.raises(ValueError, match="Extra inputs"):
        Cleaning.model_validate({"lenght": True})


def test_a_comparison_goes_with_its_best_answer() -> None:
    def of(best: str, worst: str) -> Comparison:
        answers = ((Message("assistant", worst),), (Message("assistant", best),))
        return Comparison((Message("user", "q\u200b"),), answers, (0.0, 1.0))

    cleaner = only(unicode=True, boilerplate=True)
    clean, reason = cleaner.clean_comparison(of("fine\r\n", "As an AI language model, no.\r\n"))
    assert (reason, clean.prompt[0].content) == ("", "q")
    assert [answer[0].content for answer in clean.answers] == ["As an AI language model, no.", "fine"]
    assert cleaner.clean_comparison(of("As an AI language model, no.", "fine"))[1].startswith("boilerplate")


def test_rules_of_self_instruct_on_their_own_seeds(shared_data: Path) -> None:
    """The authors' seed tasks pass their own rules, but for the few that speak of files and the like."""
    with (shared_data / "self_instruct_seed_tasks.jsonl").open(encoding="utf-8") as lines:
        seeds = [json.loads(line) for line in lines]
    assert len(seeds) == 175
    cleaner = only(self_instruct=True)
    reasons = [why(cleaner, s["instruction"], s["instances"][0]["output"]) for s in seeds]
    assert sum(map(bool, reasons)) < 20
    assert not any("too short" in r and s["instruction"].count(" ") > 3 for r, s in zip(reasons, seeds, strict=True))
