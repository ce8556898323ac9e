"""What the wheel carries: every data file of the package, the built-in recipe among them."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import tunesmith
from tunesmith.pipeline.recipe import find

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "tunesmith"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_data_file_is_carried() -> None:
    patterns = [p.removeprefix("**/") for p in PROJECT["tool"]["setuptools"]["package-data"]["tunesmith"]]
    data = [p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts]
    assert len(data) > 100
    assert [str(p) for p in data if not any(fnmatch(p.name, pattern) for pattern in patterns)] == []


def test_every_folder_with_code_is_a_package() -> None:
    bare = {p.parent for p in PACKAGE.rglob("*.py") if not (p.parent / "__init__.py").exists()}
    assert bare == set()


def test_the_recipe_to_copy_is_the_recipe_that_runs() -> None:
    carried = find("quickstart")
    assert carried.is_relative_to(PACKAGE)
    assert carried.read_bytes() == (ROOT / "recipes" / "quickstart.yaml").read_bytes()


def test_one_version_and_one_licence() -> None:
    assert PROJECT["project"]["version"] == tunesmith.__version__
    assert f"## {tunesmith.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
