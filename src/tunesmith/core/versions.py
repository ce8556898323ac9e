"""Which versions of other packages the tests passed with, and which of the installed ones lie outside.

The lower bounds are those of the package's own metadata; ``make test-oldest`` runs the tests with exactly these. The
upper ones are in ``constraints.txt``, the set of exact versions that ``make`` installs and ``make pins`` renews. Two
versions that differ in their last number only count as the same: a package's fixes do not change its interface.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).parent / "constraints.txt"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[^\]]*\])?(?P<bounds>[^;]*)(?P<marker>;.*)?")
_TOLD = "TUNESMITH_VERSIONS_TOLD"
"""Set once the warning was given, so that the processes that we start do not repeat it."""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package that tunesmith uses, and the versions that were tested."""

    name: str
    installed: str
    oldest: str
    newest: str

    @property
    def tested(self) -> bool:
        """Whether the installed version lies between the oldest and the newest tested one."""
        minor = _numbers(self.installed)[:2]
        return _numbers(self.oldest) <= _numbers(self.installed) and minor <= _numbers(self.newest)[:2]

    def __str__(self) -> str:
        return f"{self.name} {self.installed} (tested: {self.oldest} to {self.newest})"


def packages() -> list[Package]:
    """The installed packages that tunesmith names as its own dependencies, those of its extras too."""
    try:
        required = metadata.requires("tunesmith") or []
    except metadata.PackageNotFoundError:  # run from its source without being installed
        return []
    newest = pins()
    found: dict[str, Package] = {}
    for line in required:
        match = _REQUIREMENT.match(line)
        lowest = re.search(r">=\s*([\w.]+)", line)
        if match is None or lowest is None:
            continue
        name = _plain(match["name"])
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = Package(name, installed, lowest[1], newest.get(name, installed))
    return list(found.values())


def untested() -> list[Package]:
    """The installed packages outside the tested versions."""
    return [package for package in packages() if not package.tested]


def warning() -> str:
    """One line that names the packages outside the tested versions; empty where there are none, or it was given."""
    if os.environ.get(_TOLD):
        return ""
    os.environ[_TOLD] = "1"
    outside = untested()
    if not outside:
        return ""
    return (
        f"tunesmith was not tested with {', '.join(map(str, outside))}. "
        f"Install the tested versions with: pip install tunesmith -c {CONSTRAINTS}"
    )


def pins() -> dict[str, str]:
    """The exact version of each package in ``constraints.txt``."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_plain(name): version for name, version in pairs}


def _plain(name: str) -> str:
    """A package's name in the form in which names are compared: ``Rouge_Score`` is ``rouge-score``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    """``2.13.0+cpu`` -> (2, 13, 0)"""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+a-z]", version, maxsplit=1)[0]))
