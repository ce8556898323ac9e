"""A recipe is checked whole: every problem at once, each with its line and the nearest valid name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fake_stages import Join, Make, kinds
from tunesmith.core.errors import RecipeError
from tunesmith.pipeline import recipe


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "KINDS", kinds())


GOOD = """\
name: small
seed: 3
stages:
  a: {kind: make, text: one}
  b:
    kind: join
    left: a
    steps: 1e1
"""

pytestmark = pytest.mark.usefixtures("fakes")


def problems(text: str, **overrides: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        recipe.parse(text, "my.yaml", {key.replace("__", "."): value for key, value in overrides.items()})
    return str(caught.value).splitlines()[1:]


def test_a_good_recipe() -> None:
    found = recipe.parse(GOOD, "my.yaml")
    assert (found.name, found.seed, found.result, list(found.stages)) == ("small", 3, "b", ["a", "b"])
    assert found.stages["a"] == Make(kind="make", text="one")
    assert found.stages["b"] == Join(kind="join", left="a", steps=10)


def test_every_problem_at_once_with_lines_and_near_names() -> None:
    assert problems(
        """\
name: small
sead: 3
stages:
  a:
    kind: make
    text: one
    style:
      case: uper
      sise: 2
  b: {kind: mak, text: two}
  c:
    kind: join
    left: aa
    more:
      - a
      - d
      - b
    steps: many
  d:
    kind: make
  2e: {kind: make, text: x}
  f: make
"""
    ) == [
        "my.yaml:2: sead: unknown key; did you mean 'seed'?",
        "my.yaml:8: stages.a.style.case: found 'uper'; did you mean 'upper'?",
        "my.yaml:9: stages.a.style.sise: unknown key; did you mean 'size'?",
        "my.yaml:10: stages.b.kind: stage kind 'mak' is not known; did you mean 'make'?",
        "my.yaml:13: stages.c.left: there is no stage 'aa', wanted the id of a join or make stage; did you mean 'a'?",
        "my.yaml:16: stages.c.more[1]: stage 'd' does not come before this one; put it further up",
        "my.yaml:18: stages.c.steps: found 'many', wanted a valid integer, unable to parse string as an integer",
        "my.yaml:19: stages.d.text: this key is missing (What is written.)",
        "my.yaml:21: stages.2e: a stage's id is letters, digits, - and _, and starts with a letter",
        "my.yaml:22: stages.f: found 'make', wanted the settings of a stage, with its `kind`",
    ]


def test_a_key_given_twice_is_an_error() -> None:
    assert problems(GOOD.replace("seed: 3\n", "seed: 3\nname: other\n")) == [
        "my.yaml:3: name: this key is given twice; first on line 1"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "my.yaml:1: the file is empty"),
        ("- a\n", "my.yaml:1: a recipe is a mapping with the keys name, seed, result, stages"),
        ("name: [\n", "my.yaml:2: this is not YAML: "),
        ("name: &a [*a]\n", "my.yaml:1: name[0]: an alias that contains itself"),
        ("name: small\nstages: {}\n", "my.yaml:2: stages: found {}, "),
        ("name: small\n", "my.yaml:1: stages: this key is missing"),
        (GOOD + "result: a\n", "my.yaml:9: result: 'a' is not a training stage; known: b"),
        (GOOD.replace("left: a", "left: b"), "my.yaml:7: stages.b.left: stage 'b' does not come before"),
        (
            GOOD + "    model: nowhere\n",
            "my.yaml:9: stages.b.model: there is no stage 'nowhere', wanted the id of a make stage, a folder with a "
            "model or hub:owner/model; known: a",
        ),
    ],
)
def test_what_is_told(text: str, told: str) -> None:
    assert problems(text)[0].startswith(told)


def test_a_folder_will_do_where_the_setting_says_so(tmp_path: Path) -> None:
    found = recipe.parse(GOOD + f"    model: {tmp_path}\n")
    assert isinstance(found.stages["b"], Join)


def test_overrides_win_and_are_checked() -> None:
    found = recipe.parse(GOOD, overrides={"seed": 5, "b.steps": 7, "a.style.case": "upper"})
    b, a = found.stages["b"], found.stages["a"]
    assert isinstance(b, Join) and isinstance(a, Make)
    assert (found.seed, b.steps, a.style.case) == (5, 7, "upper")
    assert problems(GOOD, b__stepps=7) == ["my.yaml:5: stages.b.stepps: unknown key; did you mean 'steps'?"]
    assert problems(GOOD, tune__steps=7) == ["my.yaml:1: tune.steps: there is no stage 'tune'; known: a, b"]


def test_find_names_the_built_in_recipes() -> None:
    assert recipe.find("quickstart").name == "quickstart.yaml"
    with pytest.raises(RecipeError, match="Did you mean 'quickstart'"):
        recipe.find("quikstart")


def test_schema_says_the_same_rules() -> None:
    found = recipe.schema()
    json.dumps(found)
    assert found["additionalProperties"] is False
    make = found["$defs"]["stage_make"]
    assert make["additionalProperties"] is False
    assert make["required"] == ["kind", "text"]
    assert make["properties"]["kind"]["const"] == "make"
    assert found["properties"]["stages"]["additionalProperties"]["properties"]["kind"]["enum"] == ["join", "make"]
