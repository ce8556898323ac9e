"""The page of all answers holds every answer, and a real browser shows what the address asks for."""

from __future__ import annotations

import base64
import csv
import gzip
import html
import io
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.browser import BROWSER, Browser
from tunesmith.cli import app
from tunesmith.data import store
from tunesmith.data.leaks.report import Leak
from tunesmith.evals.asking.ask import Trace
from tunesmith.evals.records import Record
from tunesmith.evals.viewer import _entries, write_viewer


def record(i: int, model: str, value: float, **more: Any) -> Record:
    base = Record(
        id=f"t/{i}@t/{'ab'[i % 2]}", model=model, level="asked", format="instruction", shots=0, metric="exact_match",
        task="t", cluster="c", template=f"t/{'ab'[i % 2]}", language="en", group=f"g{i}", prompt=f"Question <{i}>?",
        answer=f"{model} says {i} & </script>", gold=(f"gold {i}",), value=value, finished=i != 3,
    )  # fmt: skip
    return replace(base, **more)


def some() -> list[Record]:
    found = [
        record(i, m, float(i % 3 == 0 or m == "two"), leak="near" if i == 5 else "")
        for m in ("one", "two")
        for i in range(30)
    ]
    likely = {"metric": "options", "options": ("x", "y"), "likely": (-1.0, -3.0), "answer": "x", "gold": ("x",)}
    return [*found, *(record(i, m, 1.0, leak="", **likely) for m in ("one", "two") for i in range(4))]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    traces = [Trace("one", 0, "t/4@t/a", ("<|user|>", "Quest", "ion\n"), ("four", "<|end|>"))]
    leaks = {"one": {"t/5@t/b": Leak("near", 0, "row/7", "t/5@t/b", "the same <words>", 0.9)}}
    return write_viewer(tmp_path / "answers.html", "my <suite>", some(), traces=traces, leaks=leaks)


def held(page: Path) -> Any:
    found = re.search(r'<script id="packed" type="text/plain">([A-Za-z0-9+/=]+)</script>', page.read_text())
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_every_answer_is_there(page: Path) -> None:
    data = held(page)
    items, texts, names = data["items"], data["texts"], data["names"]
    seen = set()
    for model, of in zip(data["models"], data["answers"], strict=True):
        for i, id in enumerate(items["id"]):
            seen.add(
                (
                    model,
                    id,
                    names["metric"][items["metric"][i]],
                    texts[of["said"][i]],
                    of["value"][i],
                    of["finished"][i],
                )
            )
    assert seen == {(r.model, r.id, r.metric, r.answer, r.value, int(r.finished)) for r in some()}
    assert len(items["id"]) == 34 and texts[items["prompt"][7]] == "Question <7>?"
    tokens = data["answers"][0]["tokens"][4]
    assert [[data["pieces"][p] for p in side] for side in tokens] == [
        ["<|user|>", "Quest", "ion\n"],
        ["four", "<|end|>"],
    ]
    line = next(one for one in data["figures"] if one["metric"] == "exact_match")
    assert line["cells"][0]["rate"][0] == pytest.approx(1 / 3, abs=1e-3) and line["cells"][1]["rate"][0] == 1.0
    assert line["cells"][1]["than"][0] == pytest.approx(2 / 3, abs=1e-3)
    assert line["cells"][0]["leaked"][3] == 1 and line["cells"][0]["clean"][3] == 29


def dom(page: Path, address: str) -> str:
    """What a browser has made of the page."""
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=6000", "--dump-dom",
         "--window-size=1200,800", f"file://{page}#{address}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert 'data-ready="1"' in done.stdout
    return done.stdout.partition("<script")[0]


def asked(text: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r'<span class="q"[^>]*>(.*?)</span>', text)]


def odd() -> list[Record]:
    """Values, texts and names that JSON or JavaScript take for something else."""
    found = []
    for model in ("__proto__", "constructor", "</script><script>alert(1)</script>"):
        for i, value in enumerate((0.0, float("nan"), 1e308, float("inf"), 1.0)):
            found.append(record(i, model, value))
    found[2] = replace(found[2], prompt=None)  # type: ignore[arg-type]
    likely = (float("nan"), float("-inf"), -1.0)
    more = {"metric": "options", "options": ("x", "y", "z"), "likely": likely, "answer": "z", "gold": ("z",)}
    return [*found, *(record(i, "__proto__", 1.0, id="__proto__", **more) for i in range(1))]


def test_odd_values_and_names_are_strict_json(tmp_path: Path) -> None:
    leaks = {"__proto__": {"__proto__": Leak("near", 0, "row/7", "__proto__", "same", float("nan"))}}
    page = write_viewer(tmp_path / "odd.html", "odd", odd(), leaks=leaks)

    def refused(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    found = re.search(r'type="text/plain">([A-Za-z0-9+/=]+)</script>', page.read_text())
    assert found
    data = json.loads(gzip.decompress(base64.b64decode(found[1])), parse_constant=refused)
    assert data["answers"][0]["value"] == [0.0, None, 1e308, None, 1.0, 1.0]
    assert data["leaks"][0] == [["__proto__", ["near", "row/7", "same", None]]]
    assert "<script>alert" not in page.read_text()


@pytest.mark.skipif(not BROWSER, reason="no browser on this machine")
def test_odd_values_and_names_in_a_browser(tmp_path: Path) -> None:
    leaks = {"__proto__": {"__proto__": Leak("near", 0, "row/7", "__proto__", "same", 0.9)}}
    records = [replace(r, leak="near") if r.id == "__proto__" else r for r in odd()]
    page = write_viewer(tmp_path / "odd.html", "odd", records, leaks=leaks)
    assert "__proto__" in dom(page, "") and "How the models stand" in dom(page, "")
    assert len(asked(dom(page, "view=answers&metric=exact_match"))) == 5
    wrong = dom(page, "view=answers&metric=exact_match&show=wrong:constructor")
    assert asked(wrong) == ["Question <0>?"]
    assert "Leaked (near) from training row <code>row/7</code>" in dom(page, "view=answers&metric=options")


@pytest.mark.skipif(not BROWSER, reason="no browser on this machine")
def test_a_script_that_is_not_the_pages_own_does_not_run(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    added = text.replace("</body>", "<script>document.body.dataset.other = 1</script></body>")
    (tmp_path / "added.html").write_text(added, encoding="utf-8")
    assert added != text and 'data-other="1"' not in dom(tmp_path / "added.html", "")
    bare = re.sub(r"<meta HTTP-EQUIV[^>]*>", "", added)
    (tmp_path / "bare.html").write_text(bare, encoding="utf-8")
    assert 'data-other="1"' in dom(tmp_path / "bare.html", ""), "it is the policy that stops it"


@pytest.mark.skipif(not BROWSER, reason="no browser on this machine")
def test_in_a_browser(page: Path) -> None:
    figures = dom(page, "")
    assert "How the models stand" in figures and "my &lt;suite&gt;" in figures
    assert re.search(r"66\.7 \(.*?\) than one", figures) and "Form and knowledge" in figures

    differ = dom(page, "view=answers&metric=exact_match&show=differ")
    assert asked(differ) == [f"Question <{i}>?" for i in range(30) if i % 3][: len(asked(differ))]
    assert "20 of 30 questions" in differ, "a question with two metrics is one question"
    wrong = dom(page, "view=answers&show=wrong:two")
    assert asked(wrong) == [] and "No question is like that" in wrong
    leaked = dom(page, "view=answers&leak=leaked")
    assert asked(leaked) == ["Question <5>?"] and "Leaked (near) from training row <code>row/7</code>" in leaked
    assert "the same &lt;words&gt;" in leaked
    searched = dom(page, "view=answers&text=says+4+&task=t")
    assert (
        asked(searched) == ["Question <4>?"]
        and "As the model reads it, 3 tokens" in searched
        and "2 tokens said" in searched
    )
    assert '<span class="t learn control last">&lt;|end|&gt;</span>' in searched
    assert "one says 4 &amp; &lt;/script&gt;" in searched and "<ins>two</ins>" in searched
    options = dom(page, "view=answers&metric=options")
    assert len(asked(options)) == 4 and 'class="chosen right">x ✓</span>' in options and "width:88.0" in options


def test_a_question_is_one_entry_whatever_it_is_scored_by() -> None:
    rows = [record(i, m, 1.0, metric=metric) for i in range(3) for m in ("one", "two") for metric in ("a", "b")]
    rows += [record(0, "one", 1.0, metric="each_c", id=f"t/0@t/a#{k}") for k in range(2)]
    rows += [record(1, "one", 1.0, metric="a", id=f"t/1@t/b~{k}", sample=k) for k in (1, 2)]
    rows += [record(0, "one", 1.0, shots=3), record(0, "one", 1.0, level="task")]
    items, first = [], {}
    for r in rows:
        if first.setdefault((r.level, r.format, r.shots, r.metric, r.id), len(items)) == len(items):
            items.append(r)
    entry, slugs = _entries(items)
    assert slugs[:3] == ["t/0@t/a", "t/1@t/b", "t/2@t/a"]
    assert slugs[3:] == ["t/0@t/a | asked | instruction | 3", "t/0@t/a | task | instruction | 0"]
    assert [entry[i] for i, r in enumerate(items) if r.metric == "each_c"] == [0, 0]
    assert [entry[i] for i, r in enumerate(items) if r.sample] == [1, 1]


READY = "document.body && document.body.dataset.ready === '1'"
needs_browser = pytest.mark.skipif(not BROWSER, reason="no browser on this machine")


@needs_browser
def test_what_a_person_judges_is_a_build_of_comparisons(page: Path, tmp_path: Path) -> None:
    """Thumbs and a note in a browser, downloaded, and read by ``tunesmith data build``."""

    def thumb(browser: Browser, model: str, kind: str) -> None:
        browser.run(f"document.querySelector('[aria-label=\"{kind} answer of {model}\"]').click()")

    with Browser(tmp_path / "b") as browser:
        browser.open(page, "t%2F4%40t%2Fa", READY)
        assert browser.run("$('judged').disabled") is True
        thumb(browser, "one", "Bad")
        thumb(browser, "two", "Good")
        assert browser.run("document.querySelectorAll('[aria-pressed=true]').length") == 2
        browser.run(
            "$('note').value = 'two is \"right\"'; $('note').dispatchEvent(new Event('change', {bubbles: true}))"
        )
        browser.open(page, "t%2F7%40t%2Fb", READY)
        thumb(browser, "two", "Good")
        thumb(browser, "one", "Bad")
        thumb(browser, "one", "Bad")  # taken back
        browser.open(page, "t%2F9%40t%2Fb", READY)
        thumb(browser, "one", "Bad")
        assert browser.run("$('judged').textContent") == "Download comparisons (3)", "kept from one opening to the next"
        browser.run("$('judged').click()")
        text = browser.downloaded("comparisons.jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0] == {
        "prompt": "Question <4>?", "answers": ["one says 4 & </script>", "two says 4 & </script>"], "scores": [0, 1],
        "models": ["one", "two"], "id": "t/4@t/a", "note": 'two is "right"',
    }  # fmt: skip
    assert [(r["completion"], r["label"]) for r in rows[1:]] == [
        ("two says 7 & </script>", True),
        ("one says 9 & </script>", False),
    ]
    (tmp_path / "comparisons.jsonl").write_text(text, encoding="utf-8")
    built = CliRunner().invoke(app, ["data", "build", str(tmp_path / "comparisons.jsonl"), "-o", str(tmp_path / "out")])
    assert built.exit_code == 0, built.output
    (table,) = store.tables_of(tmp_path / "out" / "compared.train.parquet")
    found = sorted((c.prompt[-1].content, c.scores) for c in store.of_compared(table))
    assert found == [("Question <4>?", (0.0, 1.0)), ("Question <7>?", (1.0,)), ("Question <9>?", (0.0,))]


@needs_browser
def test_what_is_listed_is_downloaded(tmp_path: Path) -> None:
    records = [replace(r, answer='=1+1, "so"\nto say') if r.id.startswith("t/4@") else r for r in some()]
    page = write_viewer(tmp_path / "answers.html", "x", records)
    with Browser(tmp_path / "b") as browser:
        browser.open(page, "view=answers&text=question+%3C4%3E", READY)
        browser.run("$('jsonl').click(); $('csv').click()")
        lines = [json.loads(line) for line in browser.downloaded("answers.jsonl").splitlines()]
        table = list(csv.DictReader(io.StringIO(browser.downloaded("answers.csv"), newline="")))
    wanted = [r for r in records if r.id == "t/4@t/a"]
    assert len(wanted) == 2
    assert [(r["id"], r["model"], r["metric"], r["answer"], r["value"], r["gold"]) for r in lines] == [
        (r.id, r.model, r.metric, r.answer, r.value, list(r.gold)) for r in wanted
    ]
    assert [(r["model"], float(r["value"])) for r in table] == [(r.model, r.value) for r in wanted]
    assert {r["answer"] for r in table} == {'\'=1+1, "so"\nto say'}, "a program for tables would run it"


@needs_browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_page_of_five_models_fits_its_window(tmp_path: Path, width: int) -> None:
    models = ["base", "a_model_with_a_long_name", "instruction", "name", "none"]
    records = [record(i, m, float(i % 2)) for m in models for i in range(12)]
    records += [record(i, m, float(i % 2), level="task") for m in models[:2] for i in range(12)]
    page = write_viewer(tmp_path / "answers.html", "five models", records)
    with Browser(tmp_path / "b", width=width) as browser:
        for address in ("", "view=answers"):
            browser.open(page, address, READY)
            assert browser.faults() == []
        browser.open(page, "", READY)
        empty = "[...document.querySelectorAll('#figures td')].filter(e => !e.textContent).length"
        assert browser.run(empty) == 0, "a model that was not asked has no column"


@needs_browser
def test_everything_by_keyboard(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "b") as browser:
        browser.open(page, "", READY)
        browser.run("$('to-figures').focus()")
        browser.key("ArrowRight")
        assert browser.run("[document.activeElement.id, $('answers').hidden, $('to-answers').ariaSelected]") == [
            "to-answers", False, "true",
        ]  # fmt: skip
        browser.run("$('list').focus()")
        for key, wanted in (("ArrowDown", 1), ("End", 29), ("ArrowUp", 28), ("Home", 0)):
            browser.key(key)
            assert browser.run("at") == wanted
            active = browser.run("$($('list').getAttribute('aria-activedescendant'))?.getAttribute('aria-selected')")
            assert active == "true", key
        browser.key("/")
        assert browser.run("document.activeElement.id") == "text"
        seen = set()
        for _ in range(40):
            browser.key("Tab")
            seen.add(browser.run("document.activeElement.id || document.activeElement.ariaLabel"))
        assert {"list", "csv", "jsonl", "show", "note", "Good answer of one", "Bad answer of two"} <= seen


@needs_browser
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_control_has_a_name_and_every_table_a_caption(tmp_path: Path, language: str) -> None:
    page = write_viewer(tmp_path / "answers.html", "x", some(), language=language)
    nameless = """[...document.querySelectorAll('button, select, input, textarea, [role=listbox], [role=tablist], a')]
        .filter(e => !(e.labels?.[0]?.textContent.trim() || e.ariaLabel))
        .filter(e => e.matches('select') || !e.textContent.trim())
        .map(e => e.outerHTML)"""
    with Browser(tmp_path / "b") as browser:
        browser.open(page, "view=answers", READY)
        assert browser.run(nameless) == []
        assert browser.run("[...document.querySelectorAll('table')].filter(e => !e.caption?.textContent).length") == 0
        assert browser.run("document.querySelectorAll('th:not([scope])').length") == 0
        assert browser.run("document.querySelectorAll('table').length") >= 2
        assert browser.run("document.querySelector('#one h2').lang") == "en"
        said = browser.run("$('figures').textContent + $('answers').textContent")
        assert ("各模型的表现" in said, "How the models stand" in said) == (language == "zh", language == "en")
        if language == "zh":
            left = re.findall(r"\b(?:asked|questions|models|wrong|right|tokens|Download)\b", said)
            assert left == [], "no English is left"


@needs_browser
def test_an_id_in_the_address_opens_its_question(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "b") as browser:
        browser.open(page, "t%2F12%40t%2Fa", READY)
        assert browser.run("document.querySelector('#one h2').textContent") == "Question <12>?"
        assert browser.run("document.querySelector('#one .where a').hash") == "#t%2F12%40t%2Fa"
        browser.open(page, "no-such", READY)
        assert browser.run("$('told').textContent") == "There is no question no-such on this page."
