"""Every text of a page is in the catalogue, in every language, and every text of the catalogue is on a page."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import tunesmith
from tunesmith.core.errors import UnknownName
from tunesmith.evals.records import LEVEL_NAMES
from tunesmith.evals.report.answers import FORMAT_NAMES
from tunesmith.pages.words import LANGUAGES, catalogue, choose, said_by_script, words

SRC = Path(tunesmith.__file__).parent
TEMPLATES = [path for kind in ("html", "jinja") for path in SRC.rglob(f"*.{kind}") if "t(" in path.read_text("utf-8")]
MODULES = [path for path in SRC.rglob("*.py") if "pages.words" in path.read_text("utf-8")]
SCRIPTS = list(SRC.rglob("page/*.js"))


def in_template(text: str) -> set[str]:
    """What a template says: the texts of ``t("...")``, ``t.html`` and the last of ``t.count``."""
    found = re.findall(r'\bt(?:\.html)?\("((?:[^"\\]|\\.)*)"', text)
    return {*found, *(many for _, many in re.findall(r't\.count\([^"]*"([^"]*)", "([^"]*)"', text))}


def in_module(text: str) -> set[str]:
    """What a module says: the constant texts of calls of ``t``, ``t.html``, ``t.count``."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("t", "t.html", "self") or name.endswith((".t", ".t.html")):
            wanted = node.args[:1]
        elif name in ("t.count", "self.t.count"):
            wanted = node.args[2:3]
        else:
            continue
        found |= {a.value for a in wanted if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def said() -> set[str]:
    found: set[str] = set()
    for path in TEMPLATES:
        found |= in_template(path.read_text("utf-8"))
    for path in MODULES:
        found |= in_module(path.read_text("utf-8"))
    for path in SCRIPTS:
        found |= set(said_by_script(path.read_text("utf-8")))
    for pair in (*LEVEL_NAMES.values(), *FORMAT_NAMES.values()):
        found |= set(pair)
    return found


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_no_text_is_missing(language: str) -> None:
    assert len(TEMPLATES) >= 4 and len(MODULES) >= 4
    assert sorted(said() - set(catalogue()[language])) == []


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_no_text_is_left_over(language: str) -> None:
    everything = "\n".join(p.read_text("utf-8") for p in (*SRC.rglob("*.py"), *TEMPLATES, *SCRIPTS))
    assert [text for text in catalogue()[language] if f'"{text}"' not in everything] == []


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_values_are_the_same_on_both_sides(language: str) -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for text, other in catalogue()[language].items():
        assert names(text) == names(other), text
        assert other.strip(), text


def test_a_text_that_nobody_translated_is_an_error() -> None:
    with pytest.raises(UnknownName, match="'Levels'"):
        words("zh")("Levels")
    assert words("en")("Levels") == "Levels"


def test_words_by_hand() -> None:
    en, zh = words("en"), words("zh")
    assert (en.count(1, "{n} example", "{n} examples"), en.count(2000, "{n} example", "{n} examples")) == (
        "1 example",
        "2,000 examples",
    )
    assert zh.count(1, "{n} example", "{n} examples") == "1 个示例"
    assert en.names(["a", "b", "c"]) == "a, b and c" and zh.names(["a", "b", "c"]) == "a、b和c" and en.names([]) == ""
    assert en.html("seed {n}", n="<b>") == "seed &lt;b&gt;"
    assert zh.part("my own level") == "my own level" and zh.part("New tasks") == "新的任务"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE"}, "en"),
        ({}, "en"),
        ({"LANG": "en_US", "LC_ALL": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_CN", "LC_MESSAGES": "C"}, "en"),
    ],
)
def test_the_environment_says_the_language(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], language: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert words().language == language
    assert words("zh-Hans").language == "zh", "what is given comes first"
    try:
        choose("zh")
        assert words().language == "zh" and words("en").language == "en"
    finally:
        choose(None)
    with pytest.raises(UnknownName, match=r"Language .fr. is not known\. Known: en, zh"):
        choose("fr")
