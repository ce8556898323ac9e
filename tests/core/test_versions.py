"""The pinned versions are whole and agree with what the package asks for; one line names what was not tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tunesmith.core import versions
from tunesmith.core.versions import Package

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]


def _bounds(line: str) -> tuple[str, str, str]:
    """Name, lower bound and upper bound of a requirement."""
    match = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)(?:,<([\w.]+))?", line)
    assert match, f"{line}: wanted a name, a lower bound, and perhaps an upper bound"
    return match[1], match[2], match[3] or "999"


@pytest.mark.parametrize("line", ASKED)
def test_each_requirement_is_pinned_within_its_bounds(line: str) -> None:
    name, low, high = _bounds(line)
    pinned = versions.pins()[versions._plain(name)]
    assert versions._numbers(low) <= versions._numbers(pinned) < versions._numbers(high)


def test_pins_are_names_and_exact_versions_alone() -> None:
    lines = versions.CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)] == []


def test_pins_hold_everything_that_is_installed_beside_them() -> None:
    """A package that a pinned one needs and that has no pin would be installed in its newest version."""
    from importlib.metadata import distributions
    from importlib.metadata import version as installed_version

    pins = versions.pins()
    needed = {"tunesmith"}
    waiting = ["tunesmith"]
    by_name = {versions._plain(d.metadata["Name"]): d for d in distributions()}
    while waiting:
        for line in by_name[waiting.pop()].requires or []:
            name = versions._plain(re.split(r"[^\w.-]", line)[0])
            if "extra" not in line and name in by_name and name not in needed:
                needed.add(name)
                waiting.append(name)
    processor_build = "+cpu" in installed_version("torch")
    if processor_build:
        assert sorted(needed - set(pins) - {"tunesmith", "setuptools"}) == []


@pytest.mark.parametrize(
    ("installed", "tested"),
    [("5.17.0", True), ("5.24.3", True), ("5.16.1", False), ("5.25.0", False), ("6.0", False), ("5.20.0+cpu", True)],
)
def test_a_package_is_tested_between_its_bounds(installed: str, tested: bool) -> None:
    assert Package("transformers", installed, "5.17", "5.24.0").tested is tested


def test_what_was_not_tested_is_named_once_at_import() -> None:
    code = (
        "from tunesmith.core import versions\n"
        "import warnings, importlib, os, tunesmith\n"
        "os.environ.pop('TUNESMITH_VERSIONS_TOLD', None)\n"
        "versions.pins = lambda: {'numpy': '1.0'}\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    importlib.reload(tunesmith), importlib.reload(tunesmith)\n"
        "print([str(w.message) for w in told])"
    )
    environment = {**os.environ, "TUNESMITH_VERSIONS_TOLD": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.count("tunesmith was not tested with") == 1
    assert "numpy" in run.stdout and "pip install tunesmith -c" in run.stdout
