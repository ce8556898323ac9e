"""An ablation: which stages are there once, which once for each point, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.stages.test_pipeline import RECIPE
from tunesmith.cli import app
from tunesmith.core.errors import RecipeError
from tunesmith.pipeline.ablation import BUILT_IN, Ablation, built_in
from tunesmith.pipeline.recipe import Recipe
from tunesmith.pipeline.run import digest, key_parts
from tunesmith.stages.sft import Sft

GRID = """\
ablation: few
question: Is it the format?
recipe: small.yaml
seeds: [1, 2]
points:
  none: {tune.format: none}
  less: {build.templates: 1}
  short: {tune.train.steps: 2}
  plain: {}
"""


@pytest.fixture
def grid(tmp_path: Path, tasks: Path) -> Path:
    task = tasks / "sound.en.yaml"
    task.write_text(task.read_text() + '  - {id: say, instruction: "Say: {{ animal }}.", target: "{{ sound }}"}\n')
    recipe = (
        RECIPE.format(tasks=tasks, place=tmp_path)
        .replace(", ablation: {none: bare}", "")
        .replace(f", suites: [{tmp_path}/suite.yaml]", "")
    )
    (tmp_path / "small.yaml").write_text(recipe)
    (tmp_path / "few.yaml").write_text(GRID)
    return tmp_path / "few.yaml"


def keys(recipe: Recipe) -> dict[str, str]:
    found: dict[str, str] = {}
    for id in recipe.stages:
        found[id] = digest(key_parts(recipe, id, found))
    return found


def test_what_points_share_is_there_once(grid: Path) -> None:
    ablation = Ablation.load(grid)
    made = ablation.recipe_of(2)
    assert made.seed == 2 and made.name == "small"
    # A point that changes the build changes all that reads it; in this recipe that is the base, too.
    assert list(made.stages) == [
        "build", "tokenizer", "pretrain", "tune--few-none", "eval--few-none",
        "build--few-less", "tokenizer--few-less", "pretrain--few-less", "tune--few-less", "eval--few-less",
        "tune--few-short", "eval--few-short", "tune", "eval",
    ]  # fmt: skip
    stages = {id: stage.model_dump() for id, stage in made.stages.items()}
    assert stages["tune--few-none"]["format"] == "none" and stages["tune"]["format"] == "instruction"
    assert stages["tune--few-none"]["model"] == "pretrain" and stages["tune--few-less"]["model"] == "pretrain--few-less"
    assert stages["build--few-less"]["templates"] == 1 and stages["build"]["templates"] is None
    assert stages["tune--few-short"]["train"]["steps"] == 2 and stages["tune"]["train"]["steps"] == 4
    assert [stages[f"eval{end}"]["tuned"] for end in ("", "--few-none")] == ["tune", "tune--few-none"]
    assert ablation.answers(made) == {
        "none": "eval--few-none", "less": "eval--few-less", "short": "eval--few-short", "plain": "eval"
    }  # fmt: skip


def test_what_holds_at_every_point_is_there_once(grid: Path) -> None:
    """And not in the place of the recipe's own, which other ablations use."""
    grid.write_text(GRID.replace("points:", "always: {eval.cloze: 0, tune.train.steps: 3}\npoints:"))
    ablation = Ablation.load(grid)
    made = ablation.recipe_of(1)
    stages = {id: stage.model_dump() for id, stage in made.stages.items()}
    assert {"build", "pretrain", "tune--few", "eval--few"} < set(stages) and not {"tune", "eval"} & set(stages)
    assert {id: s["train"]["steps"] for id, s in stages.items() if id.startswith("tune")} == {
        "tune--few-none": 3, "tune--few-less": 3, "tune--few-short": 2, "tune--few": 3
    }  # fmt: skip
    assert stages["eval--few"]["tuned"] == "tune--few" and stages["eval--few-none"]["tuned"] == "tune--few-none"
    assert {stage["cloze"] for id, stage in stages.items() if id.startswith("eval")} == {0}
    assert ablation.answers(made)["plain"] == "eval--few"


def test_a_point_that_is_added_changes_no_other(grid: Path) -> None:
    before = keys(Ablation.load(grid).recipe_of(1))
    grid.write_text(GRID.replace("  plain", "  longer: {tune.train.steps: 8}\n  plain"))
    after = keys(Ablation.load(grid).recipe_of(1))
    assert before.items() < after.items() and set(after) - set(before) == {"tune--few-longer", "eval--few-longer"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "tune.format: none",
            "tuen.format: none",
            "(?s)point 'none': 1 problem in .*there is no stage 'tuen'; did you mean",
        ),
        ("build.templates: 1", "build.template: 1", "point 'less'.*\n.*did you mean 'templates'"),
        ("points:", "point:", "few.yaml:5: point: unknown key; did you mean 'points'"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "names one twice"),
        ("seeds: [1, 2]", "against: nobody", "there is no point 'nobody'"),
        ("recipe: small.yaml", "recipe: smal", "There is no recipe file"),
        ("  plain: {}", "  no-ne: {}\n  no_ne: {}", "differ in signs alone"),
    ],
)
def test_what_is_wrong_is_told(grid: Path, old: str, new: str, said: str) -> None:
    grid.write_text(GRID.replace(old, new))
    with pytest.raises(RecipeError, match=said):
        Ablation.load(grid)


@pytest.mark.parametrize("file", sorted(BUILT_IN.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_built_in_ones_are_right(file: Path) -> None:
    ablation = Ablation.load(file.stem)
    assert ablation.ablation == file.stem and len(ablation.seeds) >= 5
    assert file.stem in {known.name for known in built_in()}
    # The base is the same at each point, so that nothing else differs.
    made = ablation.recipe_of(1).stages
    assert len({stage.model for stage in made.values() if isinstance(stage, Sft)}) == 1


def test_from_a_file_to_its_page(
    grid: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grid.parent)
    grid.write_text(GRID.replace("  less: {build.templates: 1}\n", ""))
    said = CliRunner().invoke(app, ["ablate", str(grid)]).output
    assert "seed 2, 2 of 2" in said and "ablation.html" in said
    found = json.loads(Path("runs/few/ablation.json").read_text())
    assert {(one["point"], one["level"]) for one in found["found"]} >= {("none", "cluster"), ("plain", "seen")}
    assert "Is it the format?" in Path("runs/few/ablation.html").read_text()
    assert CliRunner().invoke(app, ["ablate", str(grid), "--check"]).output.count("nothing") == 2
