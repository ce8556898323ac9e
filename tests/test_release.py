"""The release check: what it finds missing in a wheel, and, in the longer tests, all of it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_wheel_without_a_data_file_is_found(release: ModuleType, tmp_path: Path) -> None:
    files = [p for p in release._files(release.PACKAGE) if "__pycache__" not in p.parts]
    names = [p.relative_to(release.PACKAGE.parent).as_posix() for p in files]
    assert "tunesmith/recipes/quickstart.yaml" in names  # through a link to a folder
    for left_out in ("", "tunesmith/recipes/quickstart.yaml", "tunesmith/py.typed"):
        wheel = tmp_path / "one.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in names:
                if name != left_out:
                    archive.writestr(name, "")
        assert release.missing(wheel) == ([left_out] if left_out else [])


@pytest.mark.full
def test_the_wheel_works() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "release.py"), "--offline"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("ready: ")
