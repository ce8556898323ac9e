"""The leak audit: every kind found, by hand and planted in real data; nothing found where nothing is."""

from __future__ import annotations

import gzip
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.core.types import Comparison, Conversation, Message, SetAside, Source
from tunesmith.data.leaks.audit import Audit, fail_over, without_leaks
from tunesmith.data.leaks.index import _word_hash
from tunesmith.data.leaks.item import Item, item_of
from tunesmith.data.leaks.report import CROWD, Leak, Report
from tunesmith.data.text.words import words

CLIPS = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def found(audit: Audit, row: Item) -> dict[str, Leak]:
    """The leaks of one row by kind, where there is one set and one item leaks."""
    return {leak.name: leak for _, leak in audit.look(row)}


def numbered(count: int, start: int = 0) -> str:
    return " ".join(f"w{i}" for i in range(start, start + count))


def test_by_hand() -> None:
    audit = Audit({"maths": [Item("m1", (CLIPS,), ("72",))]})
    assert words(CLIPS)[:7] == ["natalia", "sold", "clips", "to", "48", "of", "her"] and len(words(CLIPS)) == 20

    row = Item("t1", ("Tell me: Natalia sold clips to 48 of her friends in April!",))
    text = "Natalia sold clips to 48 of her friends in April"
    assert audit.look(row) == [("maths", Leak("ngram", 8, "t1", "m1", text, round(10 / 21, 4)))]

    # 19 of 20 words are the same: 2 * 19 / 40.
    near = found(audit, Item("t2", (CLIPS.replace("friends", "cousins"),)))
    assert near["near"] == Leak("near", 0, "t2", "m1", CLIPS.replace("friends", "cousins")[:-1], 0.95)
    assert set(near) == {"near", "8-gram"}

    same = found(
        audit,
        Item(
            "t3",
            ("  natalia SOLD clips, to 48 of her friends - in ＡＰＲＩＬ and then she sold half as many clips in May",),
        ),
    )
    assert set(same) == {"exact", "13-gram", "8-gram"} and same["exact"].score == 1
    assert same["13-gram"].score == round(20 / 21, 4)

    report = audit.report()
    assert report.rows == 3
    assert {kind: len(leaked) for kind, leaked in report.sets["maths"].leaked.items()} == {
        "source": 0, "exact": 1, "near": 1, "13-gram": 1, "8-gram": 1,
    }  # fmt: skip
    assert report.sets["maths"].rows == {"source": 0, "exact": 1, "near": 1, "13-gram": 1, "8-gram": 3}
    table = report.table()
    assert "3 training rows against 1 evaluation set" in table and "0.95  t2 -> m1: Natalia sold clips" in table


def test_an_ngram_needs_all_its_words_in_one_text() -> None:
    audit = Audit({"s": [Item("h", (numbered(13),))]})
    assert "13-gram" in found(audit, Item("t", ("say", f"x {numbered(13)} y")))
    assert "13-gram" not in found(audit, Item("t", (numbered(12),)))
    assert "13-gram" not in found(audit, Item("t", (numbered(7), numbered(6, 7))))
    assert "13-gram" not in found(audit, Item("t", (f"{numbered(6)} other {numbered(7, 6)}",)))
    answered = Audit({"s": [Item("h", ("why",), (numbered(13),))]})
    assert "13-gram" in found(answered, Item("t", (), (f"x {numbered(13)}",)))
    assert found(Audit({"s": [Item("h", (numbered(40),))]}, ngrams=(5,)), Item("t", (numbered(5, 9),)))["5-gram"].n == 5


def test_words_of_all_scripts() -> None:
    assert words("Don't pay $1,000 for snake_case!") == ["don", "t", "pay", "1", "000", "for", "snake", "case"]
    assert words("法国的 GDP 是多少？") == ["法", "国", "的", "gdp", "是", "多", "少"]
    assert words("हिन्दी में naïve CAFÉ") == ["हिन्दी", "में", "naïve", "café"]
    assert words("ex\u00adam\u200bple ☃️ \ud800") == ["example"]
    assert words("") == words("?!") == []


def test_chinese_is_compared_by_characters() -> None:
    text = "小明在四月份向他的四十八位朋友出售了发夹然后在五月份售出的数量减少了一半请问一共卖了多少"
    audit = Audit({"zh": [Item("h", (text,))]})
    assert "13-gram" in found(audit, Item("t", ("题目：" + text[4:30],)))
    assert "13-gram" not in found(audit, Item("t", ("题目：" + text[4:29],)))
    assert "8-gram" in found(audit, Item("t", ("题目：" + text[4:20],)))
    near = found(audit, Item("t", ("题目：" + text.replace("朋友", "同学") + "？",)))["near"]
    assert near.text == text.replace("朋友", "同学") and near.score == round(2 * 42 / 88, 4)


def test_short_items_are_compared_as_wholes_and_counted() -> None:
    items = [Item("a", ("What is the capital of France?",)), Item("b", (numbered(9),)), Item("c", ("?!",))]
    audit = Audit({"s": items})
    assert audit.report().sets["s"].too_short == {"exact": 1, "near": 2, "8-gram": 2, "13-gram": 3}
    assert "s: too short for exact: 1 item; too short for near: 2 items" in audit.report().table()
    assert set(found(audit, Item("t", ("what is the capital of france",)))) == {"exact"}
    assert not audit.look(Item("t", ("Hello there", "what is the capital of france", "And then?")))
    assert not audit.look(Item("t", ("!?",))) and not audit.look(Item("t", ()))


def test_a_turn_alone_is_a_leak_and_a_sign_makes_another_question() -> None:
    audit = Audit({"s": [Item("two", (numbered(12), "Now in rhyme.")), Item("sum", ("What is 5 + 3?",))]})
    assert "exact" in found(audit, Item("t", (numbered(12),)))
    assert "exact" in found(audit, Item("t", ("Hello", "Hi", numbered(12) + "!")))
    assert not audit.look(Item("t", ("Now in rhyme.",)))
    assert set(found(audit, Item("t", ("what is 5+3",)))) == {"exact"}
    assert not audit.look(Item("t", ("What is 5 - 3?",)))


def test_a_chance_word_beside_the_question_does_not_hide_it() -> None:
    audit = Audit({"s": [Item("h", (numbered(20),))]})
    near = found(audit, Item("t", (f"w0 so a {numbered(19, 1)} b c w19",)))["near"]
    assert (near.text, near.score) == (numbered(19, 1), round(38 / 39, 4))


def test_same_source_row() -> None:
    held = Item("h", (numbered(9),), group="capital/france", source=Source("qa.jsonl", 7))
    audit = Audit({"s": [held]})
    assert found(audit, Item("t", ("x",), source=Source("qa.jsonl", 7)))["source"].text == "qa.jsonl:7"
    assert found(audit, Item("t", ("x",), group="capital/france"))["source"].text == "group capital/france"
    for other in (Item("t", ("x",), source=Source("qa.jsonl", 8)), Item("t", ("x",), source=Source("b.jsonl", 7))):
        assert not audit.look(other)
    nowhere = Audit({"s": [replace(held, group="", source=Source("qa.jsonl"))]})
    assert not nowhere.look(Item("t", ("x",), source=Source("qa.jsonl")))


def test_what_is_compared_of_a_row() -> None:
    chat = Conversation(
        (
            Message("system", "Be kind."),
            Message("user", "Add"),
            Message("assistant", "", tool_calls=({"name": "add"},)),
            Message("tool", "3"),
            Message("assistant", "Three", reasoning_content="one and two"),
        ),
        id="c", group="g", source=Source("f", 2),
    )  # fmt: skip
    said = ("one and two", "Three")
    assert item_of(chat) == Item("c", ("Add", '{"name": "add"}', "3"), said, "g", Source("f", 2), ("Be kind.",))
    asked = Conversation((Message("user", "2 + 2"),), id="q", answers=("4", "four"))
    assert item_of(asked) == Item("q", ("2 + 2",), ("4",))
    pair = Comparison(
        (Message("user", "Hi"),), ((Message("assistant", "a"),), (Message("assistant", "b"),)), (1, 0), "p"
    )
    assert item_of(pair) == Item("p", ("Hi",), ("a", "b"))


def test_a_question_in_a_system_message_is_a_leak() -> None:
    audit = Audit({"maths": [Item("m1", (CLIPS,), ("72",))]})
    rows = [Item(f"t{i}", ("Hello",), system=(f"You know this: {CLIPS}",)) for i in range(3 * CROWD)]
    leaks = [found(audit, row) for row in rows]  # many rows share it, and each of them gives the question away
    assert all(set(leak) == {"near", "13-gram", "8-gram"} for leak in leaks)
    assert [leak["near"].train for leak in leaks] == [row.id for row in rows]
    assert set(found(audit, Item("t", ("Hello",), system=(CLIPS,)))) == {"exact", "13-gram", "8-gram"}
    both = found(audit, Item("t", (CLIPS,), system=(CLIPS.replace("friends", "cousins"),)))
    assert both["exact"].score == 1 and audit.report().sets["maths"].rows["exact"] == 2
    assert audit.report().rows == 3 * CROWD + 2


def test_system_messages_that_a_set_shares_are_not_compared() -> None:
    role = "You are a careful assistant who answers in one short sentence of plain English."
    own = "You are the keeper of the old lighthouse at the end of the long stone pier in Whitby."
    items = [Item(f"h{i}", (f"{numbered(9, 100 * i)}",), system=(role,)) for i in range(6)]
    items.append(Item("own", (numbered(9, 2000),), system=(own,)))
    audit = Audit({"s": items})
    assert not audit.look(Item("t", ("x",), system=(role,))) and not audit.look(Item("t", (role,)))
    assert audit.report().sets["s"].shared == 1
    assert "not compared, because many items share them: 1 system message" in audit.report().table()
    assert {leak.held for _, leak in audit.look(Item("t", ("x",), system=(own,)))} == {"own"}
    assert {leak.held for _, leak in audit.look(Item("t", (own,)))} == {"own"}
    for _ in range(CROWD):
        audit.look(Item("t", ("x",), system=(own,)))
    assert not audit.look(Item("t", ("x",), system=(own,)))  # a role that many training rows play
    assert audit.look(Item("t", (own,)))
    report = audit.report()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.translate(str.maketrans("aeopcyxi", "аеорсухі")),  # Cyrillic
        lambda text: text.upper().translate(str.maketrans("ABEKMHOPCTX", "АВЕКМНОРСТХ")),
        lambda text: text.translate(str.maketrans("aonvi", "αοηνι")),  # Greek
        lambda text: "\u200b".join(text),
        lambda text: "\u2060".join(text) + "\ufeff",
        lambda text: text.replace("l", "l\u034f").replace("a", "a\ufe0f").replace("o", "\U000e0061o"),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text),  # full width
        lambda text: "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text),  # mathematical bold
        lambda text: "".join(c + "\u0336\u0353" if c.isalpha() else c for c in text),  # struck out, with marks below
        lambda text: text.replace(" ", "\u3000").replace("n", "ｎ\u00ad"),
        lambda text: "\u202e" + text.replace(" ", "\u2009\u2066"),
        lambda text: "".join(chr(0x1F150 + ord(c) - 97) if "a" <= c <= "z" else c for c in text),
    ],
)
def test_a_disguise_does_not_hide_a_question(disguise: Callable[[str], str]) -> None:
    audit = Audit({"maths": [Item("m1", (CLIPS,))]})
    typed = disguise(CLIPS)
    assert typed != CLIPS and "exact" in found(audit, Item("t", (typed,)))
    assert "exact" in found(Audit({"maths": [Item("m1", (typed,))]}), Item("t", (CLIPS,)))


def test_other_alphabets_stay_themselves() -> None:
    """The fold is the same for all texts, so a Russian question is found in Russian, and in nothing else."""
    russian = "Сколько скрепок Наталья продала своим друзьям в апреле и мае, если в мае она продала вдвое меньше?"
    audit = Audit({"ru": [Item("r", (russian,))]})
    assert "exact" in found(audit, Item("t", (russian.upper(),)))
    assert not audit.look(Item("t", (CLIPS,)))
    assert words("हिन्दी में ΣΟΦΙΑ") == ["हिन्दी", "में", words("σοφια")[0]] and words("Ёлка") != words("елка")


def test_a_phrase_of_the_whole_set_counts_against_a_few() -> None:
    items = [Item(f"h{i:02}", (f"{numbered(20)} a{i} b{i} c{i} d{i} e{i} f{i}",)) for i in range(50)]
    audit = Audit({"s": items})
    leaks = audit.look(Item("t", (numbered(20),)))
    assert [leak.held for _, leak in leaks if leak.name == "13-gram"] == [f"h{i:02}" for i in range(CROWD)]
    assert audit.report().sets["s"].crowded == {"8-gram": 13, "13-gram": 8}
    assert "in more than 20 items: 13 8-grams" in audit.report().table()
    assert "exact" in {leak.kind for _, leak in audit.look(replace(items[49], id="t"))}


def _some_rows() -> list[Conversation]:
    texts = [CLIPS, CLIPS.replace("May", "June"), numbered(30), f"{numbered(14)} and more", "nothing at all", CLIPS]
    return [Conversation((Message("user", t), Message("assistant", "ok")), id=f"t{i}") for i, t in enumerate(texts)]


def _audit() -> Audit:
    return Audit(
        {"maths": [Item("m", (CLIPS,))], "words": [Item("n", (numbered(25),)), Item("o", (numbered(20, 10),))]}
    )


def test_parts_merge_to_the_whole() -> None:
    whole, rows = _audit(), [item_of(row) for row in _some_rows()]
    for row in rows:
        whole.look(row)
    for cut in (2, 3, 6):
        parts = []
        for i in reversed(range(cut)):
            audit = pickle.loads(pickle.dumps(_audit()))
            for row in rows[i::cut]:
                audit.look(row)
            parts.append(audit.report())
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.merge(part)
        assert json.dumps(merged.to_json()) == json.dumps(whole.report().to_json())
    assert Report.from_json(json.loads(json.dumps(whole.report().to_json()))) == whole.report()
    assert Report.from_json(json.loads(json.dumps(whole.report().to_json()))).table() == whole.report().table()
    with pytest.raises(DataError, match="not of the same audit"):
        whole.report().merge(Audit({"maths": [Item("m", (CLIPS,))]}).report())


def test_hashes_are_the_same_in_every_process() -> None:
    assert _word_hash("natalia") == 4032900354264660870


def test_the_switch_that_removes_leaks() -> None:
    rows = _some_rows()
    out = list(without_leaks(rows, _audit()))
    kept = [row.id for row in out if isinstance(row, Conversation)]
    aside = {row.row: row.reason for row in out if isinstance(row, SetAside)}
    assert kept == ["t4"] and set(aside) == {"t0", "t1", "t2", "t3", "t5"}
    assert aside["t0"] == f"leaks into maths: exact {CLIPS[:-1]!r} of m"
    assert aside["t3"] == f"leaks into words: 13-gram {numbered(14)!r} of n"
    only = [row.id for row in without_leaks(rows, _audit(), ["exact"]) if isinstance(row, Conversation)]
    assert only == ["t1", "t2", "t3", "t4"]
    with pytest.raises(UnknownName, match="Did you mean '13-gram'"):
        list(without_leaks(rows, _audit(), ["12-gram"]))


def test_fail_over() -> None:
    audit = _audit()
    for row in _some_rows()[2:4]:
        audit.look(item_of(row))
    report = audit.report()
    fail_over(report, 1.0)
    with pytest.raises(DataError, match=r"words \(100.00% of 2 items\); at most 10.00%") as raised:
        fail_over(report, 0.1)
    assert "maths" not in str(raised.value) and "8-gram" not in str(raised.value)
    fail_over(report, 0.0, ["source"])


def test_what_cannot_be_audited_is_said() -> None:
    for make, message in (
        (lambda: Audit({}), "at least one evaluation set"),
        (lambda: Audit({"s": [Item("a", ("x",)), Item("a", ("y",))]}), "two items 'a'"),
        (lambda: Audit({"s": []}, ngrams=(2,)), "n-grams of 2 words"),
        (lambda: Audit({"s": []}, near=0.1), "near is 0.1"),
        (lambda: Item("a", "text"), "tuples of texts"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=message):
            make()
    assert not Audit({"empty": []}).look(Item("t", (CLIPS,)))


# Real data.


def _gsm8k(folder: Path, part: str) -> list[Item]:
    with gzip.open(folder / f"gsm8k_{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Item(f"{part}/{i}", (r["question"],), source=Source(f"{part}.jsonl", i + 1)) for i, r in enumerate(rows)]


def _edited(text: str, rng: random.Random, others: list[str]) -> str:
    """One word in ten left out, put in or replaced; at least one."""
    out = text.split()
    for _ in range(max(1, round(len(out) / 10))):
        at = rng.randrange(len(out))
        edits: list[Callable[[], object]] = [
            lambda at=at: out.pop(at),
            lambda at=at: out.insert(at, rng.choice(others)),
            lambda at=at: out.__setitem__(at, rng.choice(others)),
        ]
        rng.choice(edits)()
    return " ".join(out)


def test_all_that_is_planted_is_found(shared_data: Path) -> None:
    test, train = _gsm8k(shared_data, "test"), _gsm8k(shared_data, "train")
    audit = Audit({"gsm8k": test})
    others = sorted({word for item in train[:500] for word in item.prompt[0].split()})
    edited = 0
    for seed in range(3):
        rng = random.Random(seed)
        for item in rng.sample(test, 100):
            around = rng.choice(train).prompt[0]
            copy = audit.look(Item("t", (item.prompt[0].upper().replace(" ", "\n"),)))
            assert any(leak.kind == "exact" and leak.held == item.id for _, leak in copy)
            said = item.prompt[0].split()
            if len(words(item.prompt[0])) >= 13:
                at = rng.randrange(max(1, len(said) - 12))
                piece = audit.look(Item("t", (f"{around} {' '.join(said[at : at + 13])} {around}",)))
                assert any(leak.n == 13 and leak.held == item.id for _, leak in piece)
            near = audit.look(Item("t", (f"{around} {_edited(item.prompt[0], rng, others)}",)))
            edited += any(leak.kind in ("near", "exact") and leak.held == item.id for _, leak in near)
    assert edited >= 0.98 * 300


def test_gsm8k_against_itself(shared_data: Path) -> None:
    """The known figures; and of two halves that share no row, only questions that were written anew from each other."""
    train = _gsm8k(shared_data, "train")
    audit = Audit({"test": _gsm8k(shared_data, "test")})
    halves = Audit({"half": train[::2]})
    for i, row in enumerate(train):
        audit.look(row)
        if i % 2:
            halves.look(row)
    counts = {kind: len(items) for kind, items in audit.report().sets["test"].leaked.items()}
    assert counts == {"source": 0, "exact": 0, "near": 2, "13-gram": 3, "8-gram": 80}
    half = halves.report().sets["half"].leaked
    assert not half["exact"] and not half["source"]
    # Each of them read: the same question with other numbers, or asked backwards.
    rewritten = {
        ("train/685", "train/5180"),
        ("train/7233", "train/1174"),
        ("train/5681", "train/240"),
        ("train/705", "train/5168"),
    }
    assert {(leak.train, leak.held) for one in half["near"] for leak in one.pairs} == rewritten
