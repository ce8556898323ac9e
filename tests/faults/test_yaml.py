"""Whatever stands in a file that a person names, the answer is a value or one clear error: no traceback, no hang."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith import littleworld
from tunesmith.cli.run import overrides
from tunesmith.core.errors import TunesmithError
from tunesmith.data import HeldOut, load_tasks
from tunesmith.data.tasks import promptsource
from tunesmith.evals.asking.suite import Suite
from tunesmith.pipeline import recipe
from tunesmith.pipeline.ablation import Ablation
from tunesmith.pipeline.run import foreseen
from tunesmith.stages.sft import Sft

PACKAGE = Path(__file__).parents[2] / "src" / "tunesmith"
SUITE = """\
suite: reading
tasks: [capital.en.yaml]
rows: 20
shots: [0, 5]
examples: own
thoughts: asked
max_new_tokens: 64
seed: 3
"""
PROMPTSOURCE = """\
dataset: my_set
templates:
  0a: !Template
    answer_choices: yes ||| no
    id: 0a
    jinja: "Is {{ text }} good? ||| {{ answer_choices[label] }}"
    metadata: !TemplateMetadata
      choices_in_prompt: true
      languages: [en]
      metrics: [Accuracy]
      original_task: true
    name: good
    reference: ''
"""


def some(pattern: str) -> str:
    return next(iter(sorted(PACKAGE.glob(pattern)))).read_text(encoding="utf-8")


DOORS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "recipe": (some("recipes/quickstart.yaml"), recipe.load),
    "task": (some("littleworld/tasks/*/*.yaml"), load_tasks),
    "held_out": (some("littleworld/held_out.yaml"), HeldOut.load),
    "ablation": (some("recipes/ablations/mixture.yaml"), Ablation.load),
    "suite": (SUITE, Suite.load),
    "promptsource": (PROMPTSOURCE, promptsource.load),
}

assert littleworld.task_files(), "which also registers the reader of the task above"

LAUGHS = "\n".join(["a0: &a0 [1]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))])
HARD: dict[str, bytes] = {
    "laughs": LAUGHS.encode(),
    "merged laughs": LAUGHS.replace(": &", ": {<<: *a0, x: &").replace("]\n", "]}\n").encode(),
    "nul": b"name: a\0b\n",
    "binary": bytes(range(256)) * 8,
    "utf-16 without a mark": "name: a\n".encode("utf-16-le"),
    "deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "deep by indentation": b"".join(b" " * i + b"a:\n" for i in range(5000)),
    "a long number": b"name: a\nseed: " + b"7" * 5000 + b"\n",
    "a date that is none": b"name: 2026-99-99\n",
    "an int that is none": b"name: a\nseed: !!int abc\n",
    "code": b"name: !!python/object/apply:os.system ['exit 1']\n",
    "a key twice": b"name: a\nname: b\n",
    "too large": b"# " + b"x" * (33 << 20),
    "a list": b"- a\n- b\n",
    "a text": b"just words\n",
    "nothing": b"",
    "two documents": b"name: a\n---\nname: b\n",
    "keys that are no names": b"? [a, b]\n: c\n? {d: e}\n: f\n",
    "very many keys": b"".join(b"k%d: 1\n" % i for i in range(100_000)),
    "an anchor in itself": b"name: &a\n  b: *a\n",
}


def answer(door: str, path: Path, data: bytes) -> str | None:
    """What is told of a file; None where it is fine. Anything else than one of our errors fails the test."""
    path.write_bytes(data)
    began = time.process_time()
    try:
        DOORS[door][1](path)
    except TunesmithError as error:
        return str(error)
    finally:
        assert time.process_time() - began < 20, "this takes too long"
    return None


def test_the_files_are_fine_before_a_slip(tmp_path: Path) -> None:
    for door, (text, _) in DOORS.items():
        assert answer(door, tmp_path / "my.yaml", text.encode()) is None, door


@pytest.mark.parametrize("name", list(HARD))
def test_hard_files(name: str, tmp_path: Path) -> None:
    for door in DOORS:
        said = answer(door, tmp_path / "my.yaml", HARD[name])
        assert said and "my.yaml" in said, (door, name, said)
        assert len(said) < 20_000 and "Traceback" not in said
        if name not in ("too large", "nothing", "a list", "a text"):
            assert "my.yaml:" in said, "the line is told"


NO_NUMBERS = ["-1", "1.5", "7" * 5000, "{}", "''"]
NAMES = ["inf", "nan", "1e999", "²", "١", "1_0", "x"]
"""Python would take some of them for a number; ``options`` may name a field."""


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NAMES])
@pytest.mark.parametrize("key", ["limit", "options", "fraction", "wordings_per_task"])
def test_numbers_of_files_whose_values_are_texts(key: str, value: str, tmp_path: Path) -> None:
    if key == "options" and value in NAMES:
        value = "1"  # nothing to choose among
    if key in ("limit", "options"):
        text = re.sub("(?m)^options:.*$", "", DOORS["task"][0]) + f"\n{key}: {value}\n"
        said = answer("task", tmp_path / "my.yaml", text.encode())
    else:
        text = f"instances: {{fraction: {value}}}" if key == "fraction" else f"{key}: {value}"
        said = answer("held_out", tmp_path / "my.yaml", text.encode())
    assert said is not None and f"'{key}' is " in said and len(said) < 400


@pytest.mark.parametrize(
    "pair",
    ["=", "a", ".=1", "..=1", "tune.=1", ".tune=1", "tune..lr=1", "name.x=1", "seed.x.y=3", "stages=1", "stages.tune=1",
     "tune=[1]", "tune.train=5", "tune.train.lr=2026-99-99", "tune.train.lr=!!int abc", "tune.train.lr=[[[[[",
     "x=2026-99-99",
     "tune.train.lr=" + "7" * 5000,
     "tune.train.lr=\0", "tune.train.lr=\udcff", "tune.train.lr=" + "[" * 5000,
     "a" * 5000 + "=1",
     "tune.train.steps=1e400", "tune.train.steps=true", "build.tasks=~nobody/x", "tune.model=~nobody/x", "tune.model="],
)  # fmt: skip
@pytest.mark.parametrize("text", ["quickstart", "name: a\nstages: [1]\n", "name: a\nstages: {tune: 3}\n", "[]", "a"])
def test_hard_overrides(pair: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TunesmithError) as caught:
        foreseen(recipe.load("quickstart" if text == "quickstart" else path, overrides([pair], None)), tmp_path / "out")
    assert len(str(caught.value)) < 1500


def test_an_override_changes_no_other_stage_of_the_same_anchor() -> None:
    def steps(overrides: dict[str, object]) -> dict[str, int]:
        found = recipe.load("quickstart", overrides)
        return {id: stage.train.steps for id, stage in found.stages.items() if isinstance(stage, Sft)}

    assert len(steps({})) == 4
    assert steps({"with_name.train.steps": 7}) == {**steps({}), "with_name": 7}


PIECES = [
    "&a ", "*a", "*b", "<<: *a", "!!int ", "!!python/name:os.system ", "!x ", "\0", "\t", "\n", "\r", "  ", "- ",
    ": ", ":", "[", "]", "{", "}", "'", "\"", "|\n", ">\n", "# ", "---\n", "...\n", "%YAML 1.1\n", "? ", "~",
    "null", "true", "on", "no", ".inf", "-.inf", ".nan", "1e308", "1e999", "-1", "0", "0x10", "0o17", "1" * 60,
    "7" * 5000, "2026-99-99", "''", "[]", "{}", "[[]]", "{a: {b: c}}", "\u2028", "\u0085", "\udcff", "\ufeff", "😀",
    "²", "١", "a" * 3000, "../" * 90, "~nobody/x", "hub:../../etc", "/dev/null", "build", "stages", "name",
    "kind: build", "kind: sft", "{{ x", "{% for %}", "{{ 1/0 }}",
]  # fmt: skip


def mutated(text: str, draw: random.Random) -> bytes:
    """A file with a few slips: pieces put in, taken out, doubled or exchanged."""
    for _ in range(draw.randint(1, 4)):
        lines = text.split("\n")
        at, line = draw.randrange(len(text) + 1), draw.randrange(len(lines))
        match draw.randrange(7):
            case 0:
                text = text[:at] + draw.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + draw.randint(1, 30) :]
            case 2:
                text = "\n".join([*lines[:line], *lines[line : line + 3], *lines[line:]])
            case 3:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 4:
                key, colon, _ = lines[line].partition(": ")
                text = "\n".join([*lines[:line], f"{key}{colon}{draw.choice(PIECES)}", *lines[line + 1 :]])
            case 5:
                text = "\n".join([*lines[:line], "  " * draw.randrange(3) + lines[line].strip(), *lines[line + 1 :]])
            case 6:
                words = [i for i, c in enumerate(text) if c in ",:[]{} "]
                cut = draw.choice(words) if words else 0
                text = text[: cut + 1] + draw.choice(PIECES) + text[cut + 1 :]
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        at = draw.randrange(len(data) + 1)
        data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    return data


def fuzz(door: str, folder: Path, rounds: int, seed: int) -> None:
    draw = random.Random(f"{seed} {door}")
    refused = 0
    for i in range(rounds):
        data = mutated(DOORS[door][0], draw)
        try:
            said = answer(door, folder / "my.yaml", data)
        except Exception as error:
            raise AssertionError(f"{door}, round {i}: {type(error).__name__} for {folder / 'my.yaml'}") from error
        if said is not None:
            refused += 1
            assert len(said) < 20_000
    assert refused > rounds // 4


@pytest.mark.parametrize("door", list(DOORS))
def test_slips(door: str, tmp_path: Path) -> None:
    fuzz(door, tmp_path, 40, seed=1)


@pytest.mark.full
@pytest.mark.parametrize("door", list(DOORS))
def test_many_slips(door: str, tmp_path: Path) -> None:
    fuzz(door, tmp_path, 2000, seed=2)
