"""Every page in a real browser, wide and narrow, light and dark, English and Chinese, all of it unfolded: no faults.

The data card is looked at where builds are tested.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser import BROWSER, Browser
from tests.evals.compare.test_ablation import answers as of_seeds
from tests.evals.test_report import full, small
from tests.evals.test_viewer import some
from tunesmith.data.leaks.report import Leak
from tunesmith.evals.asking.ask import Trace
from tunesmith.evals.compare.ablation import findings, write_page
from tunesmith.evals.report import ReportData, write_report
from tunesmith.evals.report.mask import Drawn, Token, mask_html
from tunesmith.evals.viewer import write_viewer

__all__ = ["full", "small"]
pytestmark = pytest.mark.skipif(not BROWSER, reason="no browser on this machine")
READY = (
    "document.readyState === 'complete' && "
    "(document.body.dataset.ready === '1' || !document.querySelector('script'))"  # a page with a script says when
)


@pytest.fixture
def folder(tmp_path: Path, full: ReportData) -> Path:
    """One page of each kind in each language."""
    records = [
        replace(r, language="zh", prompt="法国的首都是哪里？") if i % 3 else r for i, r in enumerate(full.records)
    ]
    leaks = {"one": {"t/5@t/b": Leak("near", 0, "row/7", "t/5@t/b", "the same words", 0.9)}}
    traces = [
        Trace("one", 0, f"t/{i}@t/{'ab'[i % 2]}", ("<|user|>", "Quest", "ion\n"), ("four", "<|end|>")) for i in range(9)
    ]
    points = {point: of_seeds(lambda _, rate=rate: rate) for point, rate in (("1", 0.3), ("4", 0.7))}
    for language in ("en", "zh"):
        here = tmp_path / language
        here.mkdir()
        write_report(here, replace(full, records=records, answers="answers.html"), language)
        write_viewer(here / "answers.html", "x", some(), traces=traces, leaks=leaks, language=language)
        write_page(here, "Do more clusters help?", findings(points, against="1"), "1", "clusters", 5, language)
        drawn = Drawn("a", (Token("<|user|>", False, True), Token("Hi", False, False), Token("Hello", True, False)))
        (here / "mask.html").write_text(mask_html([drawn], language=language), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False), (390, True)])
def test_no_page_has_faults(folder: Path, tmp_path: Path, width: int, dark: bool) -> None:
    found = {}
    with Browser(tmp_path / "b", width=width, dark=dark) as browser:
        for language in ("en", "zh"):
            for name, address in (
                ("report", ""), ("answers", "view=figures"), ("answers", "view=answers"),
                ("answers", "view=answers&leak=leaked"), ("ablation", ""), ("mask", ""),
            ):  # fmt: skip
                browser.open(folder / language / f"{name}.html", address, READY)
                browser.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
                if faults := browser.faults():
                    found[language, name, address] = faults
    assert found == {}


def test_faults_are_found(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<html><body><main><h1>A</h1><h3>B</h3><p style='color:#999'>pale</p><button></button><p>巴黎巴黎</p>"
        "<table><tr><th>x</th></tr></table><i id=a></i><i id=a></i>"
        "<div style='overflow:auto;height:9px'>a<br>b<br>c</div><div style='width:3000px'>wide</div>"
        "</main></body></html>",
        encoding="utf-8",
    )
    with Browser(tmp_path / "b") as browser:
        browser.open(page)
        found = " ".join(browser.faults())
    for fault in (
        "contrast 2.85", "no name: <button", "no caption", "no scope", "id twice: a", "h3 after h1", "no language",
        "Chinese without lang", "scrolls, and no key", "beyond the window", "wide",
    ):  # fmt: skip
        assert fault in found
