"""A stage runs once, and again only when something that it depends on has changed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.fake_stages import kinds
from tunesmith.core.errors import RecipeError, RunLocked, UnknownName
from tunesmith.core.lock import run_lock
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as runner
from tunesmith.stages import state
from tunesmith.stages.state import DONE, STARTED


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "KINDS", kinds())


RECIPE = """\
name: small
stages:
  a: {kind: make, text: one}
  b: {kind: make, text: two}
  c: {kind: join, left: a}
  d: {kind: join, left: c, more: [b]}
"""


def run(folder: Path, text: str = RECIPE, **options: Any) -> dict[str, bool]:
    """Which stages were reused."""
    result = runner.run(recipe.parse(text), folder=folder, console=Console(file=io.StringIO()), **options)
    return {stage.id: stage.reused for stage in result.stages}


def test_the_second_run_reuses_everything(tmp_path: Path) -> None:
    assert run(tmp_path) == {"a": False, "b": False, "c": False, "d": False}
    assert (tmp_path / "d" / "text").read_text() == "one+two"
    assert run(tmp_path) == {"a": True, "b": True, "c": True, "d": True}


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("text: one", "text: uno", {"a", "c", "d"}),
        ("text: two", "text: due", {"b", "d"}),
        ("left: c", "left: a", {"d"}),
        ("text: two", "text: two, style: {case: upper}", {"b", "d"}),
        ("name: small", "name: small\nseed: 2", {"a", "b", "c", "d"}),
        ("name: small", "# a remark\nname: small", set()),
    ],
)
def test_a_change_runs_that_stage_and_what_follows(tmp_path: Path, old: str, new: str, again: set[str]) -> None:
    run(tmp_path)
    reused = run(tmp_path, RECIPE.replace(old, new))
    assert {id for id, done in reused.items() if not done} == again


def test_a_stage_that_is_added_runs_with_what_reads_it(tmp_path: Path) -> None:
    run(tmp_path)
    more = RECIPE.replace("  b: ", "  extra: {kind: make, text: extra}\n  b: ").replace("more: [b]", "more: [b, extra]")
    assert run(tmp_path, more) == {"a": True, "extra": False, "b": True, "c": True, "d": False}
    assert (tmp_path / "d" / "text").read_text() == "one+two+extra"


def test_only_runs_what_a_stage_reads(tmp_path: Path) -> None:
    assert run(tmp_path, only=["c"]) == {"a": False, "c": False}
    with pytest.raises(UnknownName, match="Did you mean"):
        run(tmp_path, only=["cc"])


def test_again_forces_a_stage_and_keeps_what_follows(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, again=["a"]) == {"a": False, "b": True, "c": True, "d": True}


def test_a_file_of_the_user_is_part_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("x")
    text = RECIPE.replace("text: two", f"text: two, source: {file}")
    run(tmp_path / "out", text)
    assert all(run(tmp_path / "out", text).values())
    file.write_text("y")
    assert not run(tmp_path / "out", text)["b"]
    assert (tmp_path / "out" / "b" / "text").read_text() == "twoy"


def test_changed_code_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    known = runner.digest_code
    monkeypatch.setattr(runner, "digest_code", lambda room: "new" if room == "core/errors.py" else known(room))
    assert [id for id, reused in run(tmp_path).items() if not reused] == ["a", "b", "c", "d"]


def test_damaged_output_runs_again(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "b" / "text").write_text("cut sho")
    assert run(tmp_path) == {"a": True, "b": False, "c": True, "d": True}


def flip(file: Path) -> None:
    """Change one bit in the middle of a file; its size stays."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_one_changed_bit_in_any_file_is_seen(tmp_path: Path) -> None:
    run(tmp_path)
    files = sorted(path for path in tmp_path.glob("*/*") if path.is_file() and path.stat().st_size)
    assert len(files) == 8
    for file in files:
        flip(file)
        assert run(tmp_path) == {id: id != file.parent.name for id in "abcd"}, file


def test_a_large_file_is_read_before_a_stage_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "LARGE", 1)
    run(tmp_path)
    flip(tmp_path / "b" / "text")
    assert all(run(tmp_path).values())  # nothing reads it
    told = f"d reads {tmp_path / 'b' / 'text'}, whose content has changed since the stage b wrote it.*--again b"
    with pytest.raises(RecipeError, match=told):
        run(tmp_path, again=["d"])
    run(tmp_path, again=["b", "d"])
    assert (tmp_path / "d" / "text").read_text() == "one+two"


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"key": 1}', "[" * 100_000, "\0"])
def test_a_damaged_state_runs_the_stage_again(tmp_path: Path, content: str) -> None:
    run(tmp_path)
    (tmp_path / "b" / DONE).write_text(content)
    assert run(tmp_path) == {"a": True, "b": False, "c": True, "d": True}


def test_a_state_that_is_a_link_is_no_state(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "b" / DONE).unlink()
    (tmp_path / "b" / DONE).symlink_to("/dev/zero")
    assert run(tmp_path) == {"a": True, "b": False, "c": True, "d": True}


def test_a_stopped_stage_goes_on_in_its_folder(tmp_path: Path) -> None:
    text = RECIPE.replace("text: one", "text: FAIL")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, text)
    assert (tmp_path / "c" / STARTED).exists() and not (tmp_path / "c" / DONE).exists()
    assert run(tmp_path, text, only=["c"]) == {"a": True, "c": False}
    assert json.loads((tmp_path / "c" / DONE).read_text())["info"] == {"resumed": True}


def test_a_stopped_stage_with_other_settings_starts_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RECIPE.replace("text: one", "text: FAIL"))
    run(tmp_path)
    assert json.loads((tmp_path / "c" / DONE).read_text())["info"] == {"resumed": False}


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("precious")
    with pytest.raises(RecipeError, match="no stage's output"):
        run(tmp_path)
    assert (tmp_path / "a" / "thesis.tex").read_text() == "precious"


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(RunLocked, match="already trains"):
        run(tmp_path)
    run(tmp_path)


def test_outlook_says_why(tmp_path: Path) -> None:
    run(tmp_path)
    loaded = recipe.parse(RECIPE.replace("text: one", "text: uno"))
    states = {row.id: row.state for row in runner.outlook(loaded, folder=tmp_path)}
    assert states["a"] == "again: text was 'one', is 'uno'"
    assert states["c"] == "again: a changed"
    assert states["b"].startswith("done before")


def test_run_json_tells_what_every_stage_took(tmp_path: Path) -> None:
    run(tmp_path)
    info = json.loads((tmp_path / runner.RUN).read_text())
    assert list(info["stages"]) == ["a", "b", "c", "d"]
    assert info["stages"]["b"]["peak_mb"] > 1
    assert info["result"] == "d"
