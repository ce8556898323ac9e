"""The versions of other packages that the tests run with.

    python tools/pins.py oldest            requirements of pyproject.toml at their lower bounds
    python tools/pins.py newest            the same without the upper bounds that only say what was tested
    python tools/pins.py write PYTHON      take what is installed beside PYTHON as the tested versions

``write`` makes src/tunesmith/core/constraints.txt, which holds every installed package, and raises the upper bounds in
pyproject.toml. The Makefile calls it as the last step of ``make pins``, after the tests have passed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "src" / "tunesmith" / "core" / "constraints.txt"
RAISED = ("transformers", "lm_eval", "bitsandbytes", "ray[data]")
"""Packages whose newer versions have broken us, or that change their interface often: allowed up to the tested minor
version only. ``write`` raises these bounds."""
CHECKERS = ("ruff", "mypy", "types-PyYAML")
"""Run with the pinned versions alone: each release of theirs finds something else."""

HEAD = """\
# The exact versions that the tests passed with, written by `make pins`: pip install tunesmith -c constraints.txt
# Here is everything that the package, its extras and its tests install with the processor build of torch. Other builds
# of torch need more packages and name their exact versions.
"""


def requirements() -> list[str]:
    """Everything that the package, its extras and its tests ask for."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return list(dict.fromkeys(lines))


def oldest(line: str) -> str:
    """``torch>=2.11,<2.14`` -> ``torch==2.11``"""
    return re.sub(r">=([\w.]+).*", r"==\1", line)


def newest(line: str) -> str:
    """The requirement without an upper bound that only says what was tested."""
    return re.sub(r",<[\w.]+", "", line) if line.startswith(RAISED) else line


def write(python: str) -> None:
    """Take the packages beside ``python`` as the tested versions."""
    freeze = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    pairs = sorted((line.split("==") for line in freeze.splitlines() if "==" in line and line[0] != "#"), key=_plain)
    versions = {name: version.split("+")[0] for name, version in pairs}
    before = CONSTRAINTS.read_text(encoding="utf-8") if CONSTRAINTS.exists() else ""
    text = HEAD + "".join(f"{name}=={version}\n" for name, version in versions.items())
    CONSTRAINTS.write_text(text, encoding="utf-8")
    project = PYPROJECT.read_text(encoding="utf-8")
    for name in RAISED:
        above = _above(versions[re.sub(r"\[.*", "", name)])
        project = re.sub(rf'("{re.escape(name)}>=[\w.]+,<)[\w.]+"', rf'\g<1>{above}"', project)
    PYPROJECT.write_text(project, encoding="utf-8")
    changed = sorted(set(text.splitlines()) ^ set(before.splitlines()))
    print("\n".join(changed) or "No version changed.")


def _above(version: str) -> str:
    """The first version that was not tested: ``5.24.1`` -> ``5.25``; below 1.0 the next fix."""
    numbers = [int(part) for part in version.split(".")][: 2 if version[0] != "0" else 3]
    return ".".join(map(str, [*numbers[:-1], numbers[-1] + 1]))


def _plain(pair: list[str]) -> str:
    return pair[0].lower().replace("_", "-")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["oldest"]:
            print("\n".join(oldest(line) for line in requirements() if not line.startswith(CHECKERS)))
        case ["newest"]:
            print("\n".join(newest(line) for line in requirements() if not line.startswith(CHECKERS)))
        case ["write", python]:
            write(python)
        case _:
            sys.exit(__doc__)
