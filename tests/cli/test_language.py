"""``--lang`` and ``LANG`` say the language of the pages that a verb writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.evals.test_report import answers
from tunesmith import cli
from tunesmith.pages.words import choose


def written(tmp_path: Path, *more: str) -> str:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(asdict(r)) + "\n" for r in [*answers("base", 2), *answers("tuned", 9)]))
    page = tmp_path / "page.html"
    with pytest.raises(SystemExit) as caught:
        cli.main(["eval", "page", str(file), "-o", str(page), *more])
    assert caught.value.code in (0, None)
    return page.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    choose(None)


def test_the_option_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert '<html lang="en">' in written(tmp_path)
    assert '<html lang="zh">' in written(tmp_path, "--lang", "zh")
    assert '<html lang="en">' in written(tmp_path), "what one call chose is not what the next one wants"
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert '<html lang="zh">' in written(tmp_path)
    assert '<html lang="en">' in written(tmp_path, "--lang", "en")


def test_another_language_is_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["eval", "page", str(tmp_path), "--lang", "fr"])
    assert caught.value.code not in (0, None)
    said = capsys.readouterr().err
    assert "Language 'fr' is not known. Known: en, zh." in said and "Traceback" not in said


@pytest.mark.parametrize(
    "verb", ["run", "quickstart", "ablate", "show", "data build", "data card", "eval run", "eval page", "eval harness"]
)
def test_every_verb_that_writes_a_page_has_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*verb.split(), "--help"])
    assert "--lang" in capsys.readouterr().out
