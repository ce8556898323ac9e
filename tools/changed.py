"""The tests that a change needs: ``python tools/changed.py [BASE]`` prints their paths.

A changed file ``src/tunesmith/ROOM/NAME.py`` needs ``tests/ROOM/test_NAME.py``, or the tests that stand directly in
``tests/ROOM`` where there is none; a changed test needs itself. The tests of the house and of the package are always
among them. BASE is a commit to compare with, HEAD by default; files that git does not track yet count too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = ("tests/test_house.py", "tests/test_package.py")
MOST = 12
"""Test files of a room, at the most: a change of many files wants ``make test``."""


def changed(base: str) -> list[str]:
    """The files that differ from a commit, and the new ones."""
    asked = (["git", "diff", "--name-only", base], ["git", "ls-files", "--others", "--exclude-standard"])
    return [line for ask in asked for line in subprocess.check_output(ask, cwd=ROOT, text=True).splitlines()]


def tests_of(files: Iterable[str], root: Path = ROOT) -> list[str]:
    """The test files that these files need."""
    found = dict.fromkeys(ALWAYS)
    for file in map(Path, files):
        if file.parts[0] == "tests" and file.name.startswith("test_") and (root / file).exists():
            found[str(file)] = None
        elif file.parts[:2] == ("src", "tunesmith") and file.suffix == ".py":
            folder = Path("tests", *file.parts[2:-1])
            own = folder / f"test_{file.stem}.py"
            near = [own] if (root / own).exists() else sorted((root / folder).glob("test_*.py"))[:MOST]
            found |= dict.fromkeys(str(path.relative_to(root) if path.is_absolute() else path) for path in near)
        elif file.suffix == ".md":
            found["tests/test_docs.py"] = None
    return list(found)


if __name__ == "__main__":
    print("\n".join(tests_of(changed(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))))
