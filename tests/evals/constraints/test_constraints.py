"""Each constraint on answers that keep it and on answers that just do not."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.core.errors import EvalError, TunesmithError
from tunesmith.evals.constraints import CHECKS, follows, loosened
from tunesmith.evals.constraints.check import sentences

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("keywords:existence", {"keywords": ["sun", "Moon"]}, ["Sunny, and a moon."], ["The sun.", "moon"]),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": "at least"},
        ["Tea and tea.", "Tea, teapot, steam"],
        ["Tea.", "coffee"],
    ),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": "less than"},
        ["Tea.", "none"],
        ["tea tea", "tea tea tea"],
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "no"]}, ["Concatenate, nobody."], ["A Cat.", "No!"]),
    (
        "keywords:letter_frequency",
        {"letter": "Q", "let_frequency": 2, "let_relation": "less than"},
        ["quick"],
        ["Queens quit"],
    ),
    (
        "language:response_language",
        {"language": "de"},
        ["Der Hund läuft schnell durch den Wald und bellt."],
        ["The dog runs through the wood and barks at the moon."],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "at least"},
        ["one two three"],
        ["one-two", "a b"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        ["One. Two.", "Dr. Who met Mr. X. He ran."],
        ["One. Two. Three."],
    ),
    (
        "length_constraints:number_sentences_read",
        {"num_sentences": 2, "relation": "exactly"},
        ["**Bold.** Next.", "A line\n\nAnother", "1. One.\n2. Two."],
        ["Dr. Who met Mr. X."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb"],
        ["a", "a\n***\n\n***\nb"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
        ["One.\n\nWeekend, at last.", 'One.\n\n"Weekend" it is'],
        ["One.\n\nWeekends are short.", "Weekend.\n\nTwo", "One.\n\nWeekend.\n\nThree"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name], [address]"],
        ["[name]", "(name) (x)"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. I know", "p. s. yes"],
        ["Bye. PS", "P.P.S"],
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["P.P.S more"], ["P.S. more"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "- a\n  - b", "* a\n- b"],
        ["* a", "**a**\n* b", "* a\n* b\n* c"],
    ),
    ("detectable_format:constrained_response", {}, ["My answer is maybe."], ["Maybe.", "my answer is yes."]),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and *b*", "**a** *b*"],
        ["*a*", "** **"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb"],
        ["SECTION 1", "Section 1 Section 2"],
    ),
    ("detectable_format:json_format", {}, ['{"a": 1}', '```json\n{"a": [1]}\n```', "3"], ["{a: 1}", '{"a": 1} done']),
    ("detectable_format:title", {}, ["<<Ode>>\nO you"], ["<Ode>", "<< >>", "《颂》"]),
    ("combination:two_responses", {}, ["a\n******\nb"], ["a", "a******a", "a******b******c", "a****** ******b"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, ["say it. It!"], ["It! Say it."]),
    (
        "startend:end_checker",
        {"end_phrase": "That is all."},
        ['Yes. That is all."', "THAT IS ALL."],
        ["That is all. Bye"],
    ),
    ("startend:quotation", {}, ['"All of it."'], ['"Half" of it', '"', "“Other marks”"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and WELL-KNOWN ones"],
        ["NASA and Others"],
    ),
    (
        "change_case:english_capital",
        {},
        ["THE DOG AND THE CAT RUN FROM THE HOUSE"],
        ["THE DOG RUNS and", "ДОМ И СОБАКА"],
    ),
    (
        "change_case:english_lowercase",
        {},
        ["the dog and the cat run from the house"],
        ["The dog", "der hund läuft schnell durch den wald und bellt"],
    ),
    ("punctuation:no_comma", {}, ["No comma; none."], ["One, two"]),
]
CHINESE: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "length_constraints:number_words",
        {"num_words": 5, "relation": "exactly"},
        ["今天好，OK？"[:6] + "啊", "一二三四五"],
        ["一二三四", "一二三四五六"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "exactly"},
        ["一句。两句！三句？", "他说：“好。”走了。回来了。"],
        ["一句。两句。", "一，二，三。"],
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["苹果"]}, ["梨很好吃"], ["我吃苹果派"]),
    (
        "keywords:letter_frequency",
        {"letter": "的", "let_frequency": 2, "let_relation": "at least"},
        ["我的你的"],
        ["我的"],
    ),
    ("language:response_language", {"language": "zh"}, ["今天天气很好。"], ["The weather is fine and the sun is out."]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "然后"},
        ["先吃饭。\n\n然后睡觉。"],
        ["然后吃饭。\n\n再睡觉。"],
    ),
    ("punctuation:no_comma", {}, ["没有逗号。"], ["有，逗号", "有,逗号", "有、顿号"]),
    ("startend:quotation", {}, ["“全部”", '"全部"', "「全部」"], ["“一半”的"]),
    ("detectable_format:title", {}, ["《春》\n花开"], ["春"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["• 一\n• 二", "- 一\n* 二"], ["一\n二"]),
    ("detectable_format:constrained_response", {"options": ["是", "否"]}, ["是"], ["也许"]),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "第", "num_sections": 2},
        ["第一节 a 第二节 b"],
        ["第一节"],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["【姓名】，[地址]"], ["【姓名】"]),
    ("detectable_content:postscript", {"postscript_marker": "附言："}, ["再见。\n附言：记得。"], ["再见。"]),
    ("startend:end_checker", {"end_phrase": "就这样。"}, ["好的，就这样。"], ["就这样。再见"]),
    ("detectable_format:json_format", {}, ['{"名": "李"}'], ["{名: 李}"]),
]


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CASES)
def test_of_ifeval(name: str, arguments: dict[str, Any], good: list[str], bad: list[str]) -> None:
    for text in good:
        assert follows(text, {"id": name, **arguments}), text
    for text in bad:
        assert not follows(text, {"id": name, **arguments}), text


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CHINESE)
def test_in_chinese(name: str, arguments: dict[str, Any], good: list[str], bad: list[str]) -> None:
    for text in good:
        assert follows(text, {"id": name, **arguments}, zh=True), text
    for text in bad:
        assert not follows(text, {"id": name, **arguments}, zh=True), text


def test_all_of_ifeval_are_there() -> None:
    own = {"length_constraints:number_sentences_read"}
    assert {name for name, *_ in CASES} == set(CHECKS) and len(set(CHECKS) - own) == 25


def test_an_empty_answer_keeps_none() -> None:
    """Also not those that it could not break: IFEval counts it so."""
    for name, arguments, _, _ in CASES:
        assert not follows(" \n", {"id": name, **arguments})


def test_relations() -> None:
    def keeps(relation: str, text: str) -> bool:
        return follows(text, {"id": "length_constraints:number_words", "num_words": 2, "relation": relation})

    for relation, right in {
        "less than": "a", "at most": "ab", "exactly": "b", "at least": "bc", "more than": "c",
    }.items():  # fmt: skip
        assert "".join(k for k, text in (("a", "x"), ("b", "x x"), ("c", "x x x")) if keeps(relation, text)) == right


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = (
        'Dr. Smith went home. He said "No." Then, e.g. on Monday, he left! What? J. K. Rowling wrote 3.5 books.\n\nNew'
    )
    assert sentences(text) == [
        "Dr. Smith went home.",
        'He said "No."',
        "Then, e.g. on Monday, he left!",
        "What?",
        "J. K. Rowling wrote 3.5 books.",
        "New",
    ]
    assert len(sentences("Wait... what? Yes!! No.")) == 3


def test_eight_readings() -> None:
    assert loosened("Sure:\n*a*\nBye") == [
        "Sure:\n*a*\nBye", "*a*\nBye", "Sure:\n*a*", "*a*", "Sure:\na\nBye", "a\nBye", "Sure:\na", "a",
    ]  # fmt: skip


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(TunesmithError, match="number_words"):
        follows("x", {"id": "length_constraints:number_wordz", "num_words": 1})
    with pytest.raises(EvalError, match="num_wordz"):
        follows("x", {"id": "length_constraints:number_words", "num_wordz": 1, "relation": "at least"})
    with pytest.raises(EvalError, match="about"):
        follows("x", {"id": "length_constraints:number_words", "num_words": 1, "relation": "about"})
    assert follows("x", {"id": "detectable_format:constrained_response", "options": ["x"], "keywords": None})
