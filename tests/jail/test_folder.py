"""Folders are counted and emptied however deep they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.jail import folder


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    base, here = tmp_path / "base", os.getcwd()
    base.mkdir()
    os.chdir(base)
    try:
        for i in range(1100):
            os.mkdir("folder")
            Path(f"file {i}").write_text("x")
            os.chdir("folder")
        os.symlink("/etc", "link")
        os.mkfifo("pipe")
    finally:
        os.chdir(here)
    (base / "closed").mkdir(mode=0)
    yield base
    folder.empty(base)  # pytest could not


def test_counting(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not folder._too_much(deep)
    monkeypatch.setattr(folder, "FILES", 2202)
    assert folder._too_much(deep)
    monkeypatch.setattr(folder, "FILES", 2203)
    assert not folder._too_much(deep)
    (deep / "large").write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(folder, "FILES", 3000)
    monkeypatch.setattr(folder, "FILES_MB", 1)
    assert folder._too_much(deep)


def test_emptying(deep: Path) -> None:
    etc = os.listdir("/etc")
    folder.empty(deep)
    assert os.listdir(deep) == [] and os.listdir("/etc") == etc
