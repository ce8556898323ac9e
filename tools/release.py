"""Build the wheel, install it in a new environment, and use it: what a user of a release will do first.

    python tools/release.py              builds, installs with the tested versions, runs; needs a package index
    python tools/release.py --offline    downloads nothing: takes the dependencies of the Python that runs it

The steps: build the wheel; see that every data file of the package is in it; install it in a new virtual environment;
run ``tunesmith --version`` and ``tunesmith quickstart --help``; run a tiny recipe from the wheel, away from the
checkout. The wheel is left in ``dist/``. The first step that fails ends the script with its output.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "tunesmith"
DIST = ROOT / "dist"
RECIPE = """\
name: tiny
stages:
  build: {kind: build, tasks: [littleworld], per_level: 6}
  tokenizer: {kind: tokenizer, data: build, vocab_size: 600}
  pretrain:
    kind: pretrain
    data: build
    tokenizer: tokenizer
    model: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1,
            num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 512}
    train: {steps: 3, batch_tokens: 512, row_length: 512}
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The output of a command; a command that fails ends the script. It sees no Python path of ours."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}\nfailed: exit code {done.returncode}")
    return done.stdout


def build(offline: bool) -> Path:
    """The wheel, in ``dist``. It holds what the checkout holds now."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would carry the files of an earlier build
    with tempfile.TemporaryDirectory() as folder:
        more = ["--no-build-isolation"] if offline else []
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *more, "--wheel-dir", folder, ".")
        (wheel,) = Path(folder).glob("*.whl")
        DIST.mkdir(exist_ok=True)
        return shutil.move(wheel, DIST / wheel.name)


def missing(wheel: Path) -> list[str]:
    """The files of the package that the wheel does not have."""
    carried = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(PACKAGE.parent).as_posix()
        for path in _files(PACKAGE)
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]
    return [name for name in wanted if name not in carried]


def _files(folder: Path) -> list[Path]:
    """All files below a folder, also through links to folders."""
    return [Path(place) / name for place, _, names in os.walk(folder, followlinks=True) for name in names]


def install(wheel: Path, venv: Path, offline: bool) -> Path:
    """A new environment with the wheel; gives the folder of its programs."""
    run(sys.executable, "-m", "venv", venv)
    programs = venv / "bin"
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if offline:
        site = run(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        run(*pip, "--no-deps", "--no-index", wheel)
    else:
        run(*pip, wheel, "-c", PACKAGE / "core" / "constraints.txt")
    return programs


def use(programs: Path, place: Path, version: str) -> None:
    """What a user does first, in a folder that is not the checkout."""
    where = run(programs / "python", "-c", "import tunesmith; print(tunesmith.__file__)", cwd=place).strip()
    if not Path(where).is_relative_to(programs.parent):
        sys.exit(f"the installed tunesmith is not the one of the wheel: {where}")
    said = run(programs / "tunesmith", "--version", cwd=place).strip()
    if said != f"tunesmith {version}":
        sys.exit(f"tunesmith --version says {said!r}, and the wheel is {version}")
    if "--seed" not in run(programs / "tunesmith", "quickstart", "--help", cwd=place):
        sys.exit("tunesmith quickstart --help does not show its options")
    (place / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    run(programs / "tunesmith", "run", "tiny.yaml", cwd=place)
    if not (place / "runs" / "tiny" / "pretrain" / "model" / "config.json").is_file():
        sys.exit("the tiny recipe has written no model")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the wheel and check it in a new environment.")
    parser.add_argument("--offline", action="store_true", help="download nothing; use the packages of this Python")
    offline = parser.parse_args().offline
    wheel = build(offline)
    print(f"built {wheel.relative_to(ROOT)}", flush=True)
    if gone := missing(wheel):
        sys.exit(f"the wheel lacks {len(gone)} files, the first: {gone[0]}")
    with tempfile.TemporaryDirectory() as folder:
        programs = install(wheel, Path(folder) / "venv", offline)
        print("installed in a new environment", flush=True)
        place = Path(folder) / "place"
        place.mkdir()
        use(programs, place, wheel.name.split("-")[1])
    print(f"ready: {wheel}")


if __name__ == "__main__":
    main()
