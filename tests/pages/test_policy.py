"""Every page forbids the browser to load, send or run anything that is not its own."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

import tunesmith
from tunesmith.pages import policy

TEMPLATES = sorted(Path(tunesmith.__file__).parent.rglob("page/*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_page_has_a_policy_before_anything_else(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    head = text[text.index("<head>") :]
    assert re.match(r'<head>\n<meta charset="utf-8">\n\{\{ policy\((script)?\) \}\}\n', head)
    assert ("<script" in text) == ("policy(script)" in text), "a page with a script names it, others forbid all"


def test_all_pages_are_looked_at() -> None:
    assert {path.name for path in TEMPLATES} >= {"answers.html", "report.html", "ablation.html", "datacard.html"}


def test_the_policy() -> None:
    assert "script-src 'none'" in policy() and "default-src 'none'" in policy()
    digest = base64.b64encode(hashlib.sha256(b"let x = 1;").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy("let x = 1;")
