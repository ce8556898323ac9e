"""The page says what the figures say, holds everything itself, and lets no data become markup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import EvalError
from tunesmith.core.types import LEVELS
from tunesmith.evals.records import Record
from tunesmith.evals.report import HeldOutView, LossCurve, MixtureRow, ReportData, write_report
from tunesmith.evals.report.mask import Drawn, Token


def record(i: int, model: str, value: float, level: str = "cluster", **more: Any) -> Record:
    values: dict[str, Any] = {
        "id": f"t.en/{i}@w",
        "model": model,
        "level": level,
        "format": "instruction",
        "shots": 0,
        "metric": "exact_match",
        "task": f"task{i % 7}.en",
        "cluster": "c",
        "template": "w",
        "language": "en",
        "group": f"t/{i}",
        "prompt": f"Question {i}?",
        "answer": "right" if value else f"wrong {i}",
        "gold": ("right",),
        "value": value,
        "finished": True,
    }
    return Record(**{**values, **more})


def answers(model: str, right: int, of: int = 100, **more: Any) -> list[Record]:
    return [record(i, model, float(i < right), **more) for i in range(of)]


@pytest.fixture
def small() -> ReportData:
    return ReportData("test", [*answers("base", 2), *answers("tuned", 80)])


@pytest.fixture
def full(small: ReportData) -> ReportData:
    records = [r for level in LEVELS for m, k in (("base", 1), ("tuned", 90)) for r in answers(m, k, level=level)]
    records += [r for m, k in (("none", 5), ("name", 40)) for r in answers(m, k)]
    records += [*answers("name", 60, format="name"), *answers("base", 3, shots=3), *answers("tuned", 85, shots=3)]
    for m, k in (("base", 10), ("tuned", 96)):
        records += answers(m, k, level="wording", metric="refusal")
        records += [replace(r, id="h" + r.id) for r in answers(m, k, level="wording", metric="answered")]
        records += answers(m, 100 if m == "base" else 97, level="seen", format="text", metric="cloze")
    return ReportData(
        "a full <run>",
        records,
        ablation={"none": "none", "name": "name"},
        losses=[LossCurve("Pretraining", (1, 2, 3), (7.0, 3.0, 0.5))],
        masks=[Drawn("a mask", (Token("hello", True, False), Token("<|end|>", True, True)))],
        held_out=HeldOutView(
            ("animals",), ("capital.en",), ("a.en/b",), ("capital/france",), {"train": 1234}, "p.json"
        ),
        ledger={
            "steps": [{"name": "rows", "rows_in": 10, "out": {"train": 7, "cluster": 2}, "aside": {"empty": 1}}],
            "set_aside": [{"row": "r1", "reason": "empty <x>", "source": "f.jsonl:3"}],
        },
        mixture=[MixtureRow("text", 50, 0.3, 0.301, 2.0), MixtureRow("capital.en", 70, 0.7, 0.699)],
        run={
            "recipe": "quickstart",
            "seed": 1,
            "machine": {"python": "3.11", "cores": 2, "packages": {"tunesmith": "0.1.0"}},
            "stages": {"pretrain": {"kind": "pretrain", "seconds": 100.0, "peak_mb": 1000.0}},
            "text": "name: quickstart # <recipe>",
        },
    )


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what a reader sees."""

    VOID = {"meta", "input", "br", "link", "img", "hr"}  # noqa: RUF012

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(html)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "srcset", "action", "data") and value:
                self.links.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def written(folder: Path, data: ReportData) -> tuple[Page, str, dict[str, Any]]:
    html = write_report(folder, data).read_text(encoding="utf-8")
    page = Page(html)
    page.text = re.sub(r"\s+", " ", page.text)
    return page, html, json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_json(tmp_path: Path, small: ReportData) -> None:
    _, _, found = written(tmp_path, replace(small, run={"seed": 3}))
    assert set(found) == {"results", "together", "run"}
    assert [set(r) for r in found["results"]] == [
        {"model", "level", "format", "shots", "metric", "value", "low", "high", "n"}
    ] * 2
    tuned = found["results"][1]
    assert (tuned["model"], tuned["level"], tuned["value"], tuned["n"]) == ("tuned", "cluster", 0.8, 100)
    assert 0.70 < tuned["low"] < 0.8 < tuned["high"] < 0.88
    (paired,) = found["run"]["paired"]
    assert found["run"]["seed"] == 3 and paired["value"] == pytest.approx(0.78) and paired["p"] < 1e-10


def test_the_claim_is_the_figure(tmp_path: Path, small: ReportData) -> None:
    page, _, _ = written(tmp_path, small)
    assert (
        "Tuning raised the share of right answers on tasks of c, of which it trained on none, from 2 % to 80 %: "
        "+78 points, with 95 % confidence between +69 and +85."
    ) in page.text
    assert (
        "Both models were asked the same 100 questions. 78 questions improved and 0 got worse (p < 0.0001)."
        in page.text
    )


def test_a_difference_that_is_not_significant_is_no_gain(tmp_path: Path) -> None:
    page, _, _ = written(tmp_path, ReportData("test", [*answers("base", 40), *answers("tuned", 42)]))
    assert "Tuning made no significant difference to the share of right answers on tasks of c" in page.text
    assert "not significant" in page.text.partition("In figures")[0] and "raised" not in page.text
    page, _, _ = written(tmp_path, ReportData("test", [*answers("base", 80), *answers("tuned", 42)]))
    assert "Tuning lowered the share of right answers on tasks of c" in page.text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"level": "instance", "task": "tickets.en"}, "of right answers on held-out rows of tickets.en from"),
        ({"level": "instance"}, "of right answers on held-out rows of 7 tasks from"),
        ({"level": "wording", "task": "a.en"}, "answers on a.en, asked in words that it never saw, from"),
        ({"level": "task", "task": "a.en"}, "answers on a.en, which it never trained on, from"),
        ({"level": "task"}, "answers on 7 tasks that it never trained on from"),
        ({"level": "seen", "task": "a.en"}, "answers on rows of a.en that it was trained on from"),
        (
            {"level": "instance", "task": "a.en", "metric": "rouge_l"},
            "raised the score rouge_l on held-out rows of a.en",
        ),
    ],
)
def test_the_claim_speaks_of_what_was_asked(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    data = ReportData("test", [*answers("base", 2, **more), *answers("tuned", 80, **more)])
    page, _, _ = written(tmp_path, data)
    assert said in page.text
    for word in ("fact", "instruction", "littleworld"):
        assert word not in page.text.partition("All figures")[0].replace("Instructions", ""), "it is anybody's run"


def test_the_claim_of_chats_is_in_bits(tmp_path: Path) -> None:
    more: dict[str, Any] = {"level": "instance", "task": "chats", "metric": "answer_bits"}
    records = [
        record(i, m, v, **more, group=f"g{i // 2}") for m, v in (("base", 1.5), ("tuned", 1.25)) for i in range(40)
    ]
    page, _, found = written(tmp_path, ReportData("chats", records))
    assert "Tuning lowered the loss in bits per byte on held-out rows of chats from 1.50 bits to 1.25 bits" in page.text
    assert "−0.25 bits, with 95 % confidence between −0.25 and −0." in page.text
    assert "same 40 questions about 20 different things. 20 groups of questions improved and 0 got worse" in page.text
    assert "Given: right" in page.text and "✓" not in page.text and "✗" not in page.text
    assert "1.25 bits" in page.text.partition("All figures")[2] and "125 %" not in page.text
    assert found["results"][1]["value"] == 1.25


def test_a_report_has_only_the_sections_that_the_run_has(tmp_path: Path, small: ReportData, full: ReportData) -> None:
    everything = {*("levels", "ablation", "safety", "samples", "mask", "held-out", "rows", "losses", "figures", "run")}
    page, _, _ = written(tmp_path / "full", full)
    assert everything <= set(page.ids) and len(set(page.ids)) == len(page.ids)
    assert {link for link in page.links if link[1:] not in page.ids} == set(), "every link leads somewhere"
    page, _, _ = written(tmp_path / "small", small)
    assert set(page.ids) & everything == {"levels", "samples", "figures"}


def test_everything_is_on_the_page(tmp_path: Path, full: ReportData) -> None:
    page, html, _ = written(tmp_path, full)
    for said in (
        *("New clusters", "New tasks", "New instances", "New wordings", "Harmful requests", "Harmless look-alikes"),
        *("capital/france", "animals", "1,234", "p.json"),
        *("10 = 9 + 1 set aside", "f.jsonl:3", "0.1.0", "100.0 s", "hello", "asked in that way itself: 60 %"),
        *("95 % interval", "answers freely, 3 examples", "100 % → 97 %"),
    ):
        assert said in page.text.replace("\u00a0", " ") or said in html.replace("\u00a0", " "), said


def test_the_first_screen_is_the_claim_and_a_row_a_level(tmp_path: Path, full: ReportData) -> None:
    _, html, _ = written(tmp_path, full)
    first = html[html.index("<h1") : html.index("</section>")]
    levels = re.findall(r'class="label"><span>(.*?)</span>', first)
    assert levels == ["New clusters", "New tasks", "New instances", "New wordings", "Seen"]
    readings = re.findall(r'class="reading">(.*?)<span class="aside">(.*?)</span>', first)
    assert len(readings) == 5 and {r[1] for r in readings} == {"+89 points"}
    assert "No instruction" not in first, "the ablation stands apart"
    assert html.index('id="ablation"') > html.index('id="samples"')


def test_tables_have_captions_and_scopes_and_values_their_names(tmp_path: Path, full: ReportData) -> None:
    _, html, _ = written(tmp_path, full)
    tables = re.findall(r"<table.*?</table>", html, re.S)
    assert len(tables) >= 6
    for table in tables:
        assert re.search(r"<caption[^>]*>\S", table)
        assert not re.search(r"<th(?!ead| scope)", table), "every head says what it is the head of"
        heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table)
        for row in re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", table, re.S):
            assert re.findall(r'data-label="(.*?)"', row) == heads[1:], "a phone shows each value beside its name"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_its_language_and_that_of_foreign_text(tmp_path: Path, full: ReportData, language: str) -> None:
    records = [replace(r, language="zh", prompt="法国的首都？") if r.level == "task" else r for r in full.records]
    html = write_report(tmp_path, replace(full, records=records), language).read_text(encoding="utf-8")
    assert f'<html lang="{language}">' in html and '<p class="asked" lang="zh">法国的首都？</p>' in html
    said = {"en": "How far it generalises", "zh": "泛化能力"}
    assert said[language] in html and said["zh" if language == "en" else "en"] not in html
    if language == "zh":
        text = Page(html).text.partition("All figures")[0]
        left = re.findall(r"\b(?:the|and|with|of which|questions|answers)\b", text)
        assert left == [], "no English is left"


def test_a_sample_links_to_its_question(tmp_path: Path, small: ReportData) -> None:
    page, _, _ = written(tmp_path, replace(small, answers="answers.html"))
    assert "answers.html#t.en/1%40w" in page.links


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path, full: ReportData) -> None:
    page, html, _ = written(tmp_path, full)
    assert all(link.startswith("#") for link in page.links)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert "@import" not in html and "url(" not in html and "http" not in html


def test_data_never_becomes_markup(tmp_path: Path, full: ReportData) -> None:
    bad = '<script>alert("x")</script><img src=x onerror=y>'
    records = [
        replace(r, prompt=bad, answer=bad, gold=(bad,), task=bad, cluster=bad, language='en"><script>')
        for r in full.records
    ]
    held = HeldOutView((bad,), (bad,), (bad,), (bad,), {bad: 1}, bad)
    step = {"name": bad, "rows_in": 1, "out": {}, "aside": {bad: 1}}
    data = replace(
        full,
        title=bad,
        records=records,
        held_out=held,
        ledger={"steps": [step], "set_aside": [{"row": bad, "reason": bad, "source": bad}]},
        mixture=[MixtureRow(bad, 1, 1.0, 1.0)],
        masks=[Drawn(bad, (Token(bad, True, False),))],
        losses=[LossCurve(bad, (1, 2), (1.0, 2.0))],
        run={**full.run, "text": bad, "recipe": bad},
    )
    page, _, _ = written(tmp_path, data)
    assert not page.tags & {"script", "img"} and bad in page.text


def test_the_ablation_says_apart_only_where_it_is(tmp_path: Path, full: ReportData) -> None:
    page, _, _ = written(tmp_path / "apart", full)
    assert "No instruction < Data-set name < Instructions: each better than the one before" in page.text
    records = [r for r in full.records if r.model != "name"] + answers("name", 88)
    page, _, _ = written(tmp_path / "near", replace(full, records=records))
    assert "“Instructions” and “Data-set name” are not significantly different: their intervals overlap" in page.text
    records = [r for r in full.records if r.model != "name"] + answers("name", 0)
    page, _, _ = written(tmp_path / "less", replace(full, records=records))
    assert "each better" not in page.text and "“Instructions” is above “Data-set name”" in page.text


def test_wrong_answers_are_among_the_samples(tmp_path: Path, small: ReportData) -> None:
    page, html, _ = written(tmp_path, replace(small, samples=9))
    assert html.count('class="sample ') == 9 and html.count(" wrong") >= 3
    assert len(re.findall(r'class="sample at-cluster wrong"', html)) == 3
    assert "Right would be right" in page.text
    tasks = re.findall(r"c · (task\d)\.en", html)
    assert len(set(tasks[:6])) == 6, "one task after the other"


def test_what_does_not_hold_is_refused(tmp_path: Path, small: ReportData) -> None:
    with pytest.raises(EvalError, match=r"no answers of model 'tune_name'\. Models with answers: base, tuned"):
        write_report(tmp_path, replace(small, ablation={"name": "tune_name"}))
    step = {"name": "rows", "rows_in": 10, "out": {"train": 7}, "aside": {"empty": 1}}
    with pytest.raises(EvalError, match="'rows' does not balance: 10 in, 7 out, 1 set aside"):
        write_report(tmp_path, replace(small, ledger={"steps": [step]}))
    with pytest.raises(EvalError, match="not asked the same questions"):
        write_report(tmp_path, replace(small, records=small.records[:-1]))


def test_loss_curves_are_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "loss": 2.5, "lr": 0.1}\n{"step": 2, "loss": 1.5}\n{"step": 3, "lo')
    assert LossCurve.load("Tuning", log) == LossCurve("Tuning", (1, 2), (2.5, 1.5))


def test_a_report_needs_no_torch() -> None:
    code = "import sys, tunesmith.evals.report, tunesmith.evals.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
