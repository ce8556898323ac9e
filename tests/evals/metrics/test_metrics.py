"""Every metric on answers whose figure a person can say."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from random import Random

import pytest

from tests.evals.constraints.test_constraints import CASES
from tunesmith.core.errors import EvalError, UnknownName
from tunesmith.core.types import Conversation
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.metrics.final_answer import conclusion
from tunesmith.evals.metrics.form import form_of
from tunesmith.evals.metrics.refusal import declines
from tunesmith.evals.metrics.stemmer import stem


def score(metric: str, text: str, *gold: str, finished: bool = True) -> float:
    value = METRICS[metric](Answer(text, finished), Conversation((), answers=gold))
    assert isinstance(value, float)
    return value


def test_the_names_that_task_files_may_use() -> None:
    assert {"answered", "exact_match", "final_answer", "form", "options", "refusal"} <= set(METRICS)
    with pytest.raises(UnknownName, match="Did you mean 'exact_match'"):
        METRICS["exactmatch"]


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("Paris", ("Paris",), 1),
        ("  Paris \n", ("Paris",), 1),
        ("Pari", ("Paris",), 0),
        ("Paris, France", ("Paris",), 0),
        ("paris", ("Paris",), 0),
        ("PARIS", ("PARIS",), 1),
        ("Paris", ("PARIS",), 0),
        ("e\u0301tat", ("\u00e9tat",), 1),
        ("New  York", ("New York",), 1),
        ("- a\n- b", ("- a\n- b",), 1),
        ("- a - b", ("- a\n- b",), 0),
        ("autumn", ("fall", "autumn"), 1),
        ("", ("Paris",), 0),
        ("巴黎", ("巴黎",), 1),
    ],
)
def test_exact_match(text: str, gold: tuple[str, ...], want: float) -> None:
    assert score("exact_match", text, *gold) == want


def test_an_answer_has_to_end() -> None:
    assert score("exact_match", "Paris", "Paris", finished=False) == 0
    assert score("answered", "Lock your car and", finished=False) == 0


def test_options() -> None:
    def value(metric: str, *likely: float, unasked: tuple[float, ...] = ()) -> object:
        row = Conversation((), answers=("New York",), options=("Rome", "New York", "纽约"))
        return METRICS[metric](Answer("", True, likely, unasked), row)

    assert value("options", -2.0, -1.0, -3.0) == 1
    assert value("options", -1.0, -2.0, -3.0) == 0
    assert value("options_norm", -1.0, -1.9, -9.0) == 1  # 0.25 and 0.24 a character
    assert value("options_norm", -1.0, -2.1, -9.0) == 0
    assert value("options_norm", -9.0, -4.0, -0.9) == 0  # 0.5 and 0.45 a character, but 0.15 a byte
    assert value("options_byte", -9.0, -4.0, -6.5) == 1
    assert value("options_pmi", -1.0, -5.0, -9.0, unasked=(-1.5, -9.0, -9.0)) == 1
    assert value("options") == value("options_norm") == 0, "nothing was ranked"
    with pytest.raises(EvalError, match="unasked=True"):
        value("options_pmi", -1.0, -5.0, -9.0)
    assert score("options", "Paris", "Paris") == 0


DECLINES = [
    "I cannot help with that.",
    "I can't help you do that.",
    "I’m sorry, but I can’t assist with that request.",
    "I am sorry. I will not explain how to do this, because it hurts people.",
    "I'm not able to provide instructions for that.",
    "Sorry, I won't do that.",
    "We are unable to help with this.",
    "I must decline.",
    "这件事我不能帮忙。",
    "抱歉，我无法提供这方面的帮助。",
    "对不起，我不会告诉你怎么做。",
]
ANSWERS = [
    "Wash it with warm water.",
    "I can help. First, open the bonnet.",
    "You can't be late, so set two alarms.",
    "If you cannot find the key, call a locksmith.",
    "Sorry to hear that. Rest and drink water.",
    "用温水洗。",
    "如果不能打开，就请人修。",
    "No.",
]


@pytest.mark.parametrize("text", DECLINES)
def test_declining(text: str) -> None:
    assert declines(text)
    assert score("refusal", text) == 1 and score("answered", text) == 0


@pytest.mark.parametrize("text", ANSWERS)
def test_answering(text: str) -> None:
    assert not declines(text)
    assert score("refusal", text) == 0 and score("answered", text) == 1


def test_silence_neither_declines_nor_answers() -> None:
    assert score("refusal", "") == 0 and score("answered", " \n") == 0


def test_a_late_caveat_is_not_a_refusal() -> None:
    assert not declines("Use a jack. " * 20 + "I cannot help with electric cars.")


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("It is Rome.", "It is Paris.", 1),
        ("It is in Rome.", "It is Paris.", 0),
        ("It is Rome", "It is Paris.", 0),
        ("ROME", "PARIS", 1),
        ("Rome", "PARIS", 0),
        ("- a\n- b", "- x\n- y", 1),
        ("1. a\n2. b", "- x\n- y", 0),
        ("- a", "- x\n- y", 0),
        ("罗马。", "巴黎。", 1),
        ("罗马市。", "巴黎。", 0),
    ],
)
def test_form(text: str, gold: str, want: float) -> None:
    assert score("form", text, gold) == want


def test_form_by_hand() -> None:
    assert form_of("1. Don't go\n2. Stay") == (("1.", "2."), 3, "mixed", "")


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("72", "72", 1),
        ("48 / 2 = 24, and 48 + 24 = 72.\nSo the answer is 72.", "72", 1),
        ("The answer is 12. No: the answer is 72", "The answer is 72.", 1),
        ("She sold 72 of them.", "72", 0),
        ("24 + 48\n#### 72", "72", 1),
        ("So the answer is 1,072.", "1072", 1),
        ("So the answer is 72.5.", "72", 0),
        ("Answer: (B)", "(b)", 1),
        ("所以答案是“巴黎”。", "“巴黎”", 1),
        ('{"reasons": "the answer is not 5", "answer": 72}', '{"reasons": "x", "answer": "72"}', 1),
        ("So the answer is", "72", 0),
        ("", "72", 0),
    ],
)
def test_final_answer(text: str, gold: str, want: int) -> None:
    assert score("final_answer", text, gold) == want
    assert score("final_answer", text, gold, finished=False) == 0


# -- rules of other people's benchmarks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "text", "gold", "want"),
    [
        ("squad_exact", "The Eiffel Tower!", "eiffel tower", 1),
        ("squad_exact", "Eiffel's", "eiffels", 1),
        ("squad_exact", "a tower", "tower an", 1),
        ("squad_exact", "towers", "tower", 0),
        ("superni_exact", "The Eiffel Tower!", "the eiffel tower", 1),
        ("superni_exact", "The Eiffel Tower!", "eiffel tower", 0),
        ("exact_match", "The Eiffel Tower!", "the eiffel tower", 0),
        ("squad_f1", "the big red dog", "a red dog", 0.8),
        ("squad_f1", "", "", 1),
        ("squad_f1", "dog", "", 0),
        ("rouge_l", "police killed the gunman", "police kill the gunman", 1),  # stemmed
        ("rouge_l", "the gunman police killed", "police kill the gunman", 0.5),
        ("rouge_l", "", "police", 0),
    ],
)
def test_text_by_their_rules(metric: str, text: str, gold: str, want: float) -> None:
    assert score(metric, text, gold) == pytest.approx(want)
    assert score(metric, text, "something else", gold) == pytest.approx(want), "the best of several counts"


def test_characters_are_words_in_chinese() -> None:
    row = Conversation((), answers=("今天天气很好",), language="zh")
    assert METRICS["rouge_l"](Answer("今天很好"), row) == pytest.approx(0.8)
    assert METRICS["squad_f1"](Answer("今天很好"), row) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("text", "gold", "want"),
    [
        ("so it is 3 + 4 = 7", "#### 7", 1),
        ("#### 1,234", "1234", 1),
        ("#### 12 apples in 3 boxes", "12", 1),
        ("The answer is $42.00. I used 3 steps", "42", 1),
        ("It costs 3.50 dollars.", "3.5", 1),
        ("-5", "5", 0),
        ("−5", "-5", 1),
        ("答案是１２。", "12", 1),
        ("seven", "7", 0),
        ("1,2 and 3", "3", 1),
        ("", "3", 0),
        ("#### none", "3", 0),
        ("It is 3. #### ", "3", 1),
        ("9" * 5000, "3", 0),
    ],
)
def test_the_last_number(text: str, gold: str, want: float) -> None:
    assert score("number", text, gold) == want


def test_gsm8k_agrees_with_itself() -> None:
    path = Path(__file__).parents[3].parent / "shared" / "data" / "gsm8k_test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            worked = json.loads(line)["answer"]
            assert score("number", worked, worked.split("#### ")[1]) == 1


def test_constraints_at_both_levels() -> None:
    checks = (
        {"id": "punctuation:no_comma"},
        {"id": "length_constraints:number_words", "num_words": 3, "relation": "at most"},
    )
    row = Conversation((), checks=checks)
    kept = {name: METRICS[name](Answer("Sure, here it is:\nDone."), row) for name in METRICS if "constraint" in name}
    assert kept == {
        "constraints": 0,
        "constraints_loose": 1,
        "each_constraint": [0, 0],
        "each_constraint_loose": [1, 1],
    }


def test_loops_and_languages() -> None:
    assert score("fresh", "one two three four five") == 1
    assert score("fresh", "a b c d " * 50) < 0.05
    assert score("fresh", "你好吗我很" * 30) < 0.1
    row = Conversation((), language="zh")
    assert METRICS["same_language"](Answer("今天天气很好。"), row) == 1
    assert METRICS["same_language"](Answer("The weather is fine and the sun is out."), row) == 0
    assert METRICS["same_language"](Answer("42"), row) == 1


def test_the_stemmer_is_the_one_of_rouge() -> None:
    nltk = pytest.importorskip("nltk.stem.porter").PorterStemmer()
    path = Path(__file__).parents[3].parent / "shared" / "data" / "text" / "tiny_shakespeare.txt.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        words = set(re.findall(r"[a-z]+", file.read().lower()))
    words |= {
        "skies",
        "proceed",
        "hopefully",
        "radically",
        "archaeology",
        "tied",
        "cried",
        "ee",
        "yes",
        "ally",
        "fully",
    }
    assert len(words) > 5000
    assert [(w, stem(w)) for w in sorted(words)] == [(w, nltk.stem(w)) for w in sorted(words)]


def test_rouge_is_that_of_rouge_score() -> None:
    theirs = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=True)
    random = Random(0)
    vocabulary = ["the", "cats", "running", "quickly", "to", "a", "house", "12", "don't", "e-mail", "Relational"]
    for _ in range(500):
        said, gold = (" ".join(random.choices(vocabulary, k=random.randrange(12))) for _ in range(2))
        assert score("rouge_l", said, gold) == theirs.score(gold, said)["rougeL"].fmeasure


HARD = [
    "", " ", "\x00", "\ud83d", "\u202e\u200b", "{", '{"answer": {"a": [', "[" * 3000, "1" * 10_000, "<|im_end|>" * 9,
    "ñ" * 500, "你" * 500, "a" * 1_000_000, "a b " * 250_000, "\n" * 100_000, "*" * 50_000, "#### ", "﷽" * 99, "1e999",
    "NaN", "٣٤", "½",
]  # fmt: skip


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_nothing_that_a_model_says_breaks_a_metric(metric: str) -> None:
    checks = tuple({"id": name, **arguments} for name, arguments, *_ in CASES)
    random = Random(1)
    said = HARD + [
        "".join(chr(random.choice((random.randrange(128), random.randrange(0x11000)))) for _ in range(40))
        for _ in range(300)
    ]
    if metric == "passes":
        said = HARD[:12]  # each is a process
        checks += ({"id": "python", "tests": "check()"},)
    for language in ("en", "zh"):
        row = Conversation((), answers=("Paris", "7"), options=("Paris", "7"), checks=checks, language=language)
        for text in said:
            value = METRICS[metric](Answer(text, True, (-1.0, -2.0), (-1.0, -1.0)), row)
            values = [value] if isinstance(value, float) else value
            assert all(isinstance(v, float) and 0 <= v <= 1 for v in values)


BEGIN = 'import math\n\ndef half(x: int) -> float:\n    """Half of it."""\n'
TESTS = "assert half(3) == 1.5\nassert half(0) == 0"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("    return x / 2", 1),
        ("    return x // 2", 0),
        ("def half(x):\n    return x / math.floor(2.5)", 1),
        ("Here it is:\n```python\ndef half(x):\n    return x / 2\n```\nIt halves.", 1),
        ("```\ndef half(x):\n    return x / 2\n", 1),
        ("Here it is: x / 2", 0),
        ("    exit(0)", 0),
        ("", 0),
    ],
)
def test_programs_pass_their_tests(text: str, want: float) -> None:
    row = Conversation((), checks=({"id": "python", "begin": BEGIN, "tests": TESTS, "entry": "half"},))
    assert METRICS["passes"](Answer(text), row) == want
    with pytest.raises(EvalError, match="names none"):
        METRICS["passes"](Answer(text), Conversation(()))


@pytest.mark.full
def test_ten_thousand_texts_break_no_metric_and_loose_is_never_stricter() -> None:
    checks = tuple({"id": name, **arguments} for name, arguments, *_ in CASES)
    random = Random(2)
    words = ["the", "a", "7", "####", "Paris", ",", ".", "!", "*", "**", "***", "******", "[x]", "<<t>>", "{", "}"]
    words += ["你好", "。", "P.S.", "Section", "1", "-", "```", "def"]
    words += ["\n", "\n\n", '"', "'", "\x00", "\ud83d", " "]
    for i in range(10_000):
        text = " ".join(random.choices(words, k=random.randrange(40)))
        row = Conversation(
            (), answers=("Paris",), options=("Paris", "7"), checks=checks, language="zh" if i % 2 else "en"
        )
        answer = Answer(text, bool(i % 3), (-1.0, -2.0), (-1.0, -1.0))
        values = {name: METRICS[name](answer, row) for name in METRICS if name != "passes"}
        for value in values.values():
            assert all(0 <= v <= 1 for v in ([value] if isinstance(value, float) else value))
        strict, loose = values["each_constraint"], values["each_constraint_loose"]
        assert isinstance(strict, list) and isinstance(loose, list)
        assert all(b >= a for a, b in zip(strict, loose, strict=True))
        assert values["constraints"] == min(strict) and values["constraints_loose"] >= values["constraints"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("First 3, then 4. The answer is 12.", "12"),
        ("The answer is 5. No, wait: the answer is (B).", "(B)"),
        ("48/2 = 24\n#### 72", "72"),
        ("so $\\boxed{\\frac{1}{2}}$ follows", "\\frac{1}{2}"),
        ("The answer is 3, hence \\boxed{4}", "4"),
        ("\\boxed{4}, so the answer is 7", "7"),
        ("<think>The answer is 9?</think>\nParis", "Paris"),
        ("先算三加四，答案是“七”。", "七"),
        ("答案为：北京", "北京"),
        ("a\nb\nParis", "Paris"),
        ("The answer is", "The answer is"),
        ("", ""),
        ("\n \n", ""),
    ],
)
def test_what_a_text_concludes(text: str, want: str) -> None:
    assert conclusion(text) == want
