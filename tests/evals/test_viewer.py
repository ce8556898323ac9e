"""The page of all answers holds every answer, and a real browser shows what the address asks for."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.leaks.report import Leak
from tunesmith.evals.asking.ask import Trace
from tunesmith.evals.records import Record
from tunesmith.evals.viewer import write_viewer

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")


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
    return [html.unescape(one) for one in re.findall(r'<span class="q">(.*?)</span>', text)]


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
    assert "20 of 34" in differ
    wrong = dom(page, "view=answers&show=wrong:two")
    assert asked(wrong) == [] and "No question is like that" in wrong
    leaked = dom(page, "view=answers&leak=leaked")
    assert asked(leaked) == ["Question <5>?"] and "Leaked (near) from training row <code>row/7</code>" in leaked
    assert "the same &lt;words&gt;" in leaked
    searched = dom(page, "view=answers&text=says+4+&task=t")
    assert asked(searched) == ["Question <4>?"] and "3 tokens read, 2 said" in searched
    assert '<span class="t learn control">&lt;|end|&gt;</span>' in searched
    assert "one says 4 &amp; &lt;/script&gt;" in searched and "<ins>two</ins>" in searched
    options = dom(page, "view=answers&metric=options")
    assert len(asked(options)) == 4 and 'class="chosen right">x</span>' in options and "width:88.0" in options
