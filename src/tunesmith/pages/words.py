"""The words of pages, in English and Chinese.

    t = words("zh")
    t("How far it generalises")                          泛化能力
    t("{n} rows looked at", n="1,200")                   values are put in by name
    t.count(3, "{n} task", "{n} tasks")                  English has a singular
    t.html("See {file}.", file=Markup("<code>a</code>")) a text with markup inside

The English text is written where it is used and is its own key. Everything in another language is in ``words.yaml``,
for Python, templates and scripts alike. The language is the one given, else the one chosen by ``--lang``, else that of
the environment (``LC_ALL``, ``LC_MESSAGES``, ``LANG``), else English.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from tunesmith.core.document import shipped
from tunesmith.core.errors import UnknownName

LANGUAGES = ("en", "zh")
_chosen: str | None = None


class Words:
    """Says an English text in one language."""

    def __init__(self, language: str, texts: Mapping[str, str] | None) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, text: str, **values: object) -> str:
        """The text in this language. A text that the catalogue does not have is an error, also where nobody looks."""
        said = text if self._texts is None else self._texts.get(text)
        if said is None:
            raise UnknownName("Text of a page", text, self._texts or ())
        return said.format(**values) if values else said

    def html(self, text: str, **values: object) -> Markup:
        """The text as HTML; values that are markup stay markup, all others are escaped."""
        return Markup(escape(self(text))).format(**values)

    def count(self, n: int, one: str, many: str) -> str:
        """A text with a number. Languages other than English have the second form only."""
        return self(one if n == 1 and self._texts is None else many, n=f"{n:,}")

    def names(self, names: Iterable[str]) -> str:
        """``a, b and c``."""
        every = list(names)
        if len(every) < 2:
            return "".join(every)
        return self("{names} and {last}", names=self(", ").join(every[:-1]), last=every[-1])

    def part(self, text: str) -> str:
        """A text that may be known, such as the name of a level; else the text as it is, since it is data."""
        return text if self._texts is None else self._texts.get(text, text)

    def table(self, script: str) -> dict[str, str]:
        """The texts that a script says, for the script; nothing in English, whose texts are in the script itself."""
        return {} if self._texts is None else {text: self(text) for text in said_by_script(script)}


def said_by_script(script: str) -> list[str]:
    """Every text that a script has between ``t("`` and ``")``."""
    return sorted(set(re.findall(r'\bt\("((?:[^"\\]|\\.)*)"', script)))


def choose(language: str | None) -> str | None:
    """The language of all pages that this process writes; None leaves it to the environment."""
    global _chosen
    _chosen = _known(language) if language is not None else None
    return language


def words(language: str | None = None) -> Words:
    """The words of a language."""
    known = _known(language) if language is not None else _chosen or _of_environment()
    return Words(known, None if known == "en" else catalogue()[known])


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Language -> English text -> text."""
    found = shipped(Path(__file__).with_suffix(".yaml"))
    return {language: dict(texts) for language, texts in found.items()}


def _known(language: str) -> str:
    short = re.split(r"[-_.@]", language.lower())[0]
    if short not in LANGUAGES:
        raise UnknownName("Language", language, LANGUAGES)
    return short


def _of_environment() -> str:
    given = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    short = re.split(r"[-_.@]", given.lower())[0]
    return short if short in LANGUAGES else "en"
