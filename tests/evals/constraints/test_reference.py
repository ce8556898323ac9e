"""Every decision on English text is the one of IFEval's own program, as lm-evaluation-harness carries it.

That program takes its sentences from nltk with downloaded parameters; here it gets nltk's code with ours. Three checks
ask for the language and are left out: the reference guesses it by chance (langdetect without a seed).
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tunesmith.evals.constraints import CHECKS, follows, punkt

DATA = Path(__file__).parents[3].parent / "shared" / "data"
SPECIAL = [
    "**Bold end.** Then",
    "He said “No.” Then",
    "I live on 5th Ave. It is far.",
    "She has a Ph.D. He has none.",
    "At 5 p.m. The end.",
    "J. Smith met K. He ran.",
    "no. 3 is here",
    "It cost 3.5. Yes",
    "e.g. this",
    "U.S. Army",
    "Wait... What?",
    ". . . so",
    "Hi!!! You?!",
    "1. One\n2. Two",
    "* a\n* b",
    "*\nx",
    "- a\n\n- b",
    "<<Title>>",
    "<<《》>>",
    "[x] [y]",
    "P.S. bye",
    "P.P.S bye",
    "p. s. x",
    "******",
    "***",
    "\n\n",
    "\n",
    " ",
    '"',
    "'",
    "”",
    "*",
    "**hi**",
    "* *",
    "{",
    '{"a": 1}',
    "```json\n{}\n```",
    "Section 1",
    "SECTION 2",
    "My answer is yes.",
    "NASA",
    "IT'S",
    "DON'T",
    "CANNOT",
    "A/B",
    "AT&T",
    "C++",
    "X-RAY",
    "(OK)",
    "It's",
    "weekend,",
    "'weekend'",
    "That is all.",
    "café",
    "你好。",
    "…",
    "--",
    "—",
    ";",
    ":",
    "a",
    "I",
    "the",
    "The",
    "3",
    "Dr.",
    "Mr. X",
    "etc. And",
    "etc. and",
]
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "keywords:existence": [{"keywords": ["the", "answer"]}, {"keywords": ["c.f"]}],
    "keywords:frequency": [
        {"keyword": "the", "frequency": 2, "relation": "at least"},
        {"keyword": "a.", "frequency": 9, "relation": "less than"},
    ],
    "keywords:forbidden_words": [{"forbidden_words": ["the", "not"]}, {"forbidden_words": ["a.b", "3"]}],
    "keywords:letter_frequency": [{"letter": "E", "let_frequency": 5, "let_relation": "less than"}],
    "length_constraints:number_words": [
        {"num_words": 20, "relation": "at least"},
        {"num_words": 60, "relation": "less than"},
    ],
    "length_constraints:number_sentences": [
        {"num_sentences": n, "relation": relation} for n in range(1, 9) for relation in ("at least", "less than")
    ],
    "length_constraints:number_paragraphs": [{"num_paragraphs": n} for n in (1, 2, 3)],
    "length_constraints:nth_paragraph_first_word": [
        {"num_paragraphs": n, "nth_paragraph": m, "first_word": word}
        for n in (1, 2, 3)
        for m in range(1, n + 1)
        for word in ("the", "Weekend")
    ],
    "detectable_content:number_placeholders": [{"num_placeholders": 1}, {"num_placeholders": 3}],
    "detectable_content:postscript": [{"postscript_marker": "P.S."}, {"postscript_marker": "P.P.S"}],
    "detectable_format:number_bullet_lists": [{"num_bullets": n} for n in (1, 2, 3)],
    "detectable_format:constrained_response": [{}],
    "detectable_format:number_highlighted_sections": [{"num_highlights": n} for n in (1, 2, 4)],
    "detectable_format:multiple_sections": [
        {"section_spliter": "Section", "num_sections": 1},
        {"section_spliter": "SECTION", "num_sections": 2},
    ],
    "detectable_format:json_format": [{}],
    "detectable_format:title": [{}],
    "combination:two_responses": [{}],
    "combination:repeat_prompt": [{"prompt_to_repeat": "The"}],
    "startend:end_checker": [{"end_phrase": "That is all."}, {"end_phrase": "yes."}],
    "startend:quotation": [{}],
    "change_case:capital_word_frequency": [
        {"capital_frequency": n, "capital_relation": relation}
        for n in (1, 2, 4)
        for relation in ("at least", "less than")
    ],
    "punctuation:no_comma": [{}],
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """nltk's Punkt with our parameters, written as the flags that it keeps."""
    theirs = pytest.importorskip("nltk.tokenize.punkt")
    ours, learned = punkt.parameters(), theirs.PunktParameters()
    learned.abbrev_types = set(ours.abbreviations)
    learned.sent_starters = set(ours.starters)
    learned.collocations = {tuple(pair.split("|")) for pair in ours.collocations}
    for word in ours.small:
        flags = theirs._ORTHO_MID_LC
        if word not in ours.only_capital_at_begin:
            flags |= theirs._ORTHO_MID_UC
        if word in ours.small_at_begin:
            flags |= theirs._ORTHO_BEG_LC
        learned.ortho_context[word] = flags
    return theirs.PunktSentenceTokenizer(learned)


@pytest.fixture(scope="module")
def reference(tokenizer: Any) -> Iterator[Any]:
    """The checks of IFEval's program by name."""
    pytest.importorskip("lm_eval")
    words = pytest.importorskip("nltk.tokenize.destructive").NLTKWordTokenizer()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("langdetect", "immutabledict"):
            if importlib.util.find_spec(name) is None:
                stand_in = types.ModuleType(name)
                stand_in.immutabledict = dict  # type: ignore[attr-defined]
                patch.setitem(sys.modules, name, stand_in)
        util = types.ModuleType("lm_eval.tasks.ifeval.instructions_util")
        found = importlib.util.find_spec("lm_eval.tasks.ifeval.instructions_util")
        assert found and found.origin
        source = Path(found.origin).read_text(encoding="utf-8")
        # The module downloads parameters when it is imported.
        exec(compile(source.replace("\ndownload_nltk_resources()", "\n"), found.origin, "exec"), util.__dict__)
        patch.setitem(sys.modules, util.__name__, util)
        registry = importlib.import_module("lm_eval.tasks.ifeval.instructions_registry")
        patch.setattr(util, "_get_sentence_tokenizer", lambda: tokenizer)
        patch.setattr(
            util,
            "nltk",
            types.SimpleNamespace(
                word_tokenize=lambda text: [word for one in tokenizer.tokenize(text) for word in words.tokenize(one)],
                tokenize=importlib.import_module("nltk.tokenize"),
            ),
        )
        yield registry.INSTRUCTION_DICT


def real(count: int) -> list[str]:
    """Answers that models and people wrote."""
    path = DATA / "alpaca_random_9k.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = [row["output"] for row in json.loads(gzip.decompress(path.read_bytes()))]
    longer = json.loads(gzip.decompress((DATA / "formats" / "dpo_en_demo.json.gz").read_bytes()))
    rows += [row[side]["value"] for row in longer for side in ("chosen", "rejected")]
    return Random(3).sample(rows, min(count, len(rows)))


def made(count: int) -> list[str]:
    """Texts put together from what is hard."""
    chance = Random(4)
    return [
        "".join(
            chance.choice(SPECIAL) + chance.choice(["", " ", " ", "\n", "\n\n"]) for _ in range(chance.randrange(1, 14))
        )
        for _ in range(count)
    ]


def differing(reference: Any, texts: list[str]) -> list[tuple[str, Any, str]]:
    wrong = []
    for name, choices in ARGUMENTS.items():
        for arguments in choices:
            check = reference[name](name)
            check.build_description(**arguments)
            for text in texts:
                want = bool(text.strip()) and bool(check.check_following(text))
                if follows(text, {"id": name, **arguments}) != want:
                    wrong.append((name, arguments, text))
    return wrong


def test_each_decision_is_the_reference_s(reference: Any) -> None:
    assert set(ARGUMENTS) == {name for name in reference if "language" not in name and "english" not in name}
    assert set(reference) <= set(CHECKS)
    assert differing(reference, [*SPECIAL, *made(150), *real(60)]) == []


@pytest.mark.full
def test_a_hundred_thousand_decisions_are_the_reference_s(reference: Any) -> None:
    assert differing(reference, [*made(2000), *real(1500)]) == []


@pytest.mark.parametrize("count", [400, pytest.param(12_000, marks=pytest.mark.full)])
def test_sentences_are_those_of_punkt(tokenizer: Any, count: int) -> None:
    for text in [*SPECIAL, *made(count), *real(min(count, 9000))]:
        assert punkt.sentences(text) == tokenizer.tokenize(text)


def test_hard_sentences() -> None:
    def count(text: str) -> int:
        return len(punkt.sentences(text))

    assert count("He lives on Fifth Ave. in Rome.") == 1
    assert count("She has a Ph.D. The end.") == 2
    assert count("**It ends here.** And goes on.") == 2
    assert count("“It ends.” And goes on.") == 2
    assert count("Mr. J. Smith paid $3.5 million. Then he left!") == 2
    assert count("") == 0 and count(" \n") == 0 and count("no end") == 1
