"""Constraints on the whole answer: language, case, punctuation, beginning and end."""

from __future__ import annotations

from tunesmith.evals.constraints import punkt
from tunesmith.evals.constraints.check import CHECKS, holds

_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"))


@CHECKS.add("language:response_language")
def response_language(text: str, *, zh: bool, language: str) -> bool:
    """It is in the requested language; a text without letters matches any."""
    return _in(text, language)


@CHECKS.add("change_case:english_capital")
def english_capital(text: str, *, zh: bool) -> bool:
    """All English, all capitals."""
    return text.isupper() and _in(text.lower(), "en")


@CHECKS.add("change_case:english_lowercase")
def english_lowercase(text: str, *, zh: bool) -> bool:
    """All English, no capital."""
    return text.islower() and _in(text, "en")


@CHECKS.add("change_case:capital_word_frequency")
def capital_word_frequency(text: str, *, zh: bool, capital_frequency: int, capital_relation: str) -> bool:
    """So many words in capitals, as the Penn Treebank divides them: one with hyphens is one, IT'S is two."""
    words = punkt.words(text) if text != text.lower() else []
    return holds(sum(word.isupper() for word in words), capital_relation, capital_frequency)


@CHECKS.add("punctuation:no_comma")
def no_comma(text: str, *, zh: bool) -> bool:
    """No comma, of whatever script."""
    return not set(text) & set(",，﹐､、") if zh else "," not in text


@CHECKS.add("startend:end_checker")
def end_checker(text: str, *, zh: bool, end_phrase: str) -> bool:
    """It ends with a phrase; quotes around the whole do not matter."""
    return text.strip().strip('"“”' if zh else '"').lower().endswith(end_phrase.strip().lower())


@CHECKS.add("startend:quotation")
def quotation(text: str, *, zh: bool) -> bool:
    """It is enclosed in double quotation marks."""
    text = text.strip()
    return len(text) > 1 and (text[0], text[-1]) in (_QUOTES if zh else _QUOTES[:1])


@CHECKS.add("combination:two_responses")
def two_responses(text: str, *, zh: bool) -> bool:
    """Two different answers with ****** between them."""
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    answers = [part.strip() for part in parts if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


@CHECKS.add("combination:repeat_prompt")
def repeat_prompt(text: str, *, zh: bool, prompt_to_repeat: str) -> bool:
    """It begins with the request, word for word."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _in(text: str, code: str) -> bool:
    from tunesmith.data.clean.steps.language import identify

    if not any(letter.isalpha() for letter in text):
        return True
    found = identify(text)[0]
    return found == code.split("-")[0]
