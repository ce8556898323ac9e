"""The facts checker: what a machine can check of the little world's facts, it checks here."""

from __future__ import annotations

import calendar
import re
from collections import defaultdict

import pytest
import yaml

from tunesmith.littleworld import Fact, Relation, clozes, facts, relations, statements
from tunesmith.littleworld.world import HERE

HAN = re.compile(r"[\u4e00-\u9fff]")
BY_RELATION: dict[tuple[str, str], list[Fact]] = defaultdict(list)
for _fact in facts():
    BY_RELATION[_fact.relation, _fact.language].append(_fact)

CLOZES = clozes()
NUMBERS = """one two three four five six seven eight nine ten
eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"""
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
STATEMENTS = statements()


def about(fact: Fact) -> str:
    """What a fact is about: ``x``, or both terms of a sum."""
    return fact.fields.get("x") or f"{fact.fields['a']}+{fact.fields['b']}"


def table(relation: str, language: str = "en") -> dict[str, str]:
    return {about(fact): fact.fields["y"] for fact in BY_RELATION[relation, language]}


def test_the_world_is_as_large_as_promised() -> None:
    knowledge = [relation for relation in relations() if relation.cluster != "safety"]
    assert len(knowledge) >= 34
    assert len({relation.cluster for relation in knowledge}) >= 11
    assert len({about(fact) for fact in facts("en")}) >= 300
    assert len(facts("en")) >= 800 and len(facts("zh")) >= 500
    shared = {e for e in {about(f) for f in facts("en")} if sum(about(f) == e for f in facts("en")) >= 3}
    assert len(shared) >= 40, "entities on which several relations have something to say"


@pytest.mark.parametrize("relation", relations(), ids=lambda relation: relation.id)
def test_a_relation_is_sound(relation: Relation) -> None:
    assert relation.source
    ids = [(fact.id, fact.language) for fact in relation.facts]
    assert len(ids) == len(set(ids)), "an id is used twice"
    for language, forms in relation.statements.items():
        rows = BY_RELATION[relation.id, language]
        assert len(rows) >= 7
        assert len({about(fact) for fact in rows}) == len(rows), "two answers to one question"
        assert len({frozenset(fact.fields) for fact in rows}) == 1, "all rows have the same fields"
        assert 2 <= len(forms) <= 10 and len(set(forms)) == len(forms)
        if relation.id != "harmful":  # its answer, the refusal, is learned in tuning and stands in no text
            assert any((cloze.relation, cloze.language) == (relation.id, language) for cloze in CLOZES)
        for fact in rows:
            for name, value in fact.fields.items():
                assert value == value.strip() and value, (fact.id, name)


def test_no_sentence_is_written_twice() -> None:
    seen: dict[str, str] = {}
    for statement in STATEMENTS:
        assert seen.setdefault(statement.text, statement.fact) == statement.fact, statement.text
    assert len(seen) == len(STATEMENTS)


def test_sentences_are_in_their_language_and_end_properly() -> None:
    for statement in STATEMENTS:
        assert statement.text.endswith((".", '."', '".', "?") if statement.language == "en" else ("。",))
        if statement.language == "zh":
            assert HAN.search(statement.text)
            assert not re.search(r"[,.?!:;]", re.sub(r"Ctrl\+C", "", statement.text)), statement.text
        elif statement.relation not in ("to_chinese", "to_english"):
            assert not HAN.search(statement.text), statement.text
            assert not re.search(r"\ba [aeio]\w+|\ban [b-df-hj-np-tv-z]", statement.text), statement.text


def test_a_cloze_has_one_answer() -> None:
    """No prompt is continued in two ways by the text, so a model that knows the text gets all of them."""
    found: dict[str, str] = {}
    for cloze in CLOZES:
        assert found.setdefault(cloze.prompt, cloze.answer) == cloze.answer, cloze.prompt
    texts = [statement.text for statement in STATEMENTS]
    by_start: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        by_start[text[:12]].append(text)
    for cloze in CLOZES:
        whole = cloze.prompt + cloze.before + cloze.answer + cloze.rest
        for text in by_start[cloze.prompt[:12]]:
            if text.startswith(cloze.prompt + cloze.before) and not text.startswith(cloze.prompt + "-"):
                assert text == whole, (cloze.prompt, text)


def test_every_fact_is_also_stated_in_common_frames() -> None:
    frames = yaml.safe_load((HERE / "frames.yaml").read_text(encoding="utf-8"))
    for language, texts in frames.items():
        assert len(texts) >= 20 and len(set(texts)) == len(texts)
        for text in texts:
            parts = re.findall(r"\{(\w+)\}", text)
            assert parts in (["the", "y"], ["of", "its", "y"]), "the answer comes after all that it depends on"
        assert sum('"{y}' in text or "“{y}" in text for text in texts) >= 8, language
    for relation in relations():
        wanted = set() if relation.id == "harmful" else set(relation.statements)
        assert set(relation.phrases) == wanted, relation.id
        assert all(set(phrases) == {"the", "its", "of"} for phrases in relation.phrases.values())
    assert {'He asked for the capital of France. "Paris", she said.', "说到法国，它的首都是巴黎。"} <= {
        statement.text for statement in STATEMENTS
    }


def test_clozes_put_the_sentence_together_again() -> None:
    texts = {statement.text for statement in STATEMENTS}
    for cloze in CLOZES:
        assert cloze.prompt + cloze.before + cloze.answer + cloze.rest in texts
    known = {(cloze.fact, cloze.language) for cloze in CLOZES}
    assert all((fact.id, fact.language) in known for fact in facts() if fact.relation != "harmful")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_arithmetic_is_right(language: str) -> None:
    for fact in BY_RELATION["sum", language]:
        assert int(fact.fields["a"]) + int(fact.fields["b"]) == int(fact.fields["y"])
    assert all(int(y) == 2 * int(x) for x, y in table("double", language).items())
    assert all(2 * int(y) == int(x) for x, y in table("half", language).items())
    assert all(int(y) == int(x) + 1 for x, y in table("next_number", language).items())


def test_number_words_are_right() -> None:
    words = NUMBERS.split()
    assert all(words[int(x) - 1] == y for x, y in table("number_word").items())
    digits = "一二三四五六七八九"

    def han(n: int) -> str:
        tens, ones = divmod(n, 10)
        return ("" if tens < 1 else ("" if tens == 1 else digits[tens - 1]) + "十") + (digits[ones - 1] if ones else "")

    assert all(han(int(x)) == y for x, y in table("number_word", "zh").items())
    assert table("ordinal") == dict(zip(words, ORDINALS.split(), strict=False))


def test_spelling_is_right() -> None:
    assert all(x.upper() == y for x, y in table("capital_letters").items())
    assert all(x[0] == y for x, y in table("first_letter").items())
    assert all(x[-1] == y for x, y in table("last_letter").items())
    assert all(len(x) == int(y) for x, y in table("letter_count").items())
    assert all(x[0] == y for x, y in table("first_character", "zh").items())
    assert all(x[-1] == y for x, y in table("last_character", "zh").items())


def test_plurals_and_verb_forms_follow_the_rules_or_are_known_exceptions() -> None:
    irregular = {"mouse": "mice", "foot": "feet", "tooth": "teeth", "child": "children", "man": "men"}
    irregular |= {"woman": "women", "goose": "geese", "ox": "oxen"}

    def plural(noun: str) -> str:
        if noun in irregular:
            return irregular[noun]
        if re.search(r"(fe|f)$", noun):
            return re.sub(r"(fe|f)$", "ves", noun)
        if re.search(r"[^aeiou]y$", noun):
            return noun[:-1] + "ies"
        return noun + ("es" if re.search(r"(s|x|z|ch|sh)$", noun) else "s")

    def doubled(word: str) -> bool:
        return len(word) <= 5 and bool(re.search(r"[^aeiou][aeiou][^aeiouwxy]$", word))

    def ing(verb: str) -> str:
        if verb.endswith("ie"):
            return verb[:-2] + "ying"
        if verb.endswith("e"):
            return verb[:-1] + "ing"
        return verb + (verb[-1] if doubled(verb) else "") + "ing"

    def comparative(word: str) -> str:
        known = {"good": "better", "bad": "worse", "far": "farther"}
        if word in known:
            return known[word]
        if re.search(r"[^aeiou]y$", word):
            return word[:-1] + "ier"
        return word + (word[-1] if doubled(word) else "") + ("r" if word.endswith("e") else "er")

    assert all(plural(x) == y for x, y in table("plural").items())
    assert all(ing(x) == y for x, y in table("ing_form").items())
    assert all(comparative(x) == y for x, y in table("comparative").items())


def test_opposites_and_homophones_go_both_ways() -> None:
    for relation, language in (("opposite", "en"), ("opposite", "zh"), ("homophone", "en")):
        pairs = table(relation, language)
        assert all(pairs[y] == x for x, y in pairs.items())
    assert all(fact.fields["Y"] == fact.fields["y"].upper() for fact in BY_RELATION["opposite", "en"])


def test_the_translation_tables_are_inverse_and_share_groups() -> None:
    for language in ("en", "zh"):
        there, back = table("to_chinese", language), table("to_english", language)
        assert {y: x for x, y in there.items()} == back
    groups = {fact.group for fact in BY_RELATION["to_chinese", "en"]}
    assert groups == {fact.group for fact in BY_RELATION["to_english", "zh"]}


def test_the_calendar_is_right() -> None:
    months = list(calendar.month_name)[1:]
    assert all(int(y) == months.index(x) + 1 for x, y in table("month_number").items())
    assert all(months[(months.index(x) + 1) % 12] == y for x, y in table("next_month").items())
    assert all(calendar.monthrange(2023, months.index(x) + 1)[1] == int(y) for x, y in table("month_days").items())
    days = list(calendar.day_name)
    assert all(days[(days.index(x) + 1) % 7] == y for x, y in table("next_day").items())
    for language in ("en", "zh"):
        forward, backward = table("next_day", language), table("previous_day", language)
        assert all(backward[y] == x for x, y in forward.items())


def test_answers_are_short() -> None:
    for fact in facts():
        limit = {"harmful": 6, "harmless": 6}.get(fact.relation, 3)
        assert len(fact.fields["y"].split()) <= limit, fact.id


def test_both_languages_tell_the_same_story() -> None:
    """A fact in two languages is one fact: numbers and symbols that need no translation are equal."""
    neutral = {"sum", "double", "half", "symbol", "atomic_number", "month_days"}
    chinese = {fact.id: fact for fact in facts("zh") if fact.relation in neutral}
    for fact in facts("en"):
        if fact.id in chinese:
            assert fact.fields["y"] == chinese[fact.id].fields["y"], fact.id
    assert len(chinese) > 60
