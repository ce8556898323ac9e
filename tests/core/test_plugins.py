"""Code from outside: how it is found, what is said when it is not, and how a result knows that it has changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core import plugins
from tunesmith.core.errors import PluginError, UnknownName
from tunesmith.core.registry import Registry


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test loads is forgotten after it."""
    before = set(sys.modules)
    monkeypatch.setattr(plugins, "_rooms", {})
    monkeypatch.setattr(plugins, "_digests", {})
    monkeypatch.setattr(plugins, "_looked", True)
    monkeypatch.setattr(plugins, "_failed", None)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


THINGS: Registry[Any] = Registry("Thing", room="things")
ONE = "from tests.core.test_plugins import THINGS\n\n@THINGS.add({name!r})\ndef thing(): return {name!r}\n"


@pytest.fixture(autouse=True)
def things() -> Iterator[None]:
    yield
    THINGS._items.clear()
    THINGS._modules.clear()


def put(path: Path, name: str) -> str:
    path.write_text(ONE.format(name=name))
    return str(path)


def test_a_file_registers_and_is_known_by_its_code(tmp_path: Path) -> None:
    file = put(tmp_path / "mine.py", "one")
    plugins.load([file, file])
    assert THINGS["one"]() == "one"
    (found,) = plugins.modules(["things"])
    assert found.file == file and plugins.modules(["others"]) == ()
    before = plugins.digests(["things"])
    assert list(before) == ["plug-in mine.py"] and plugins.digests(["others"]) == {}

    put(tmp_path / "mine.py", "two")
    assert plugins.digests(["things"]) == before  # what runs is what was read
    plugins._digests.clear()
    assert plugins.digests(["things"]) != before


def test_a_module_is_known_by_the_code_of_its_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "outside_things"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "words.txt").write_text("a")
    put(package / "thing.py", "three")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load(["outside_things.thing"])
    before = plugins.digests(["things"])
    assert list(before) == ["plug-in outside_things"]
    for change in (package / "words.txt", package / "other.py"):
        change.write_text("b = 1")
        plugins._digests.clear()
        after = plugins.digests(["things"])
        assert after != before
        before = after
    (package / "rows.jsonl").write_text("{}")  # data are no code
    plugins._digests.clear()
    assert plugins.digests(["things"]) == before


def test_code_that_was_typed_in_is_never_taken_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a cell is edited and run again; there is no file whose content would tell."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    found = []
    for thing in (len, max):
        THINGS.add("cell", "__main__")(thing)
        found.append(plugins.digests(["things"]))
        assert plugins.digests(["things"]) == found[-1]
    assert found[0] != found[1] and list(found[0]) == ["plug-in __main__"]


def test_another_process_imports_the_same(tmp_path: Path) -> None:
    plugins.load([put(tmp_path / "mine.py", "four")])
    known = plugins.modules(["things"])
    del sys.modules[known[0].name]
    THINGS._items.clear()
    plugins.again(known)
    assert "four" in THINGS


def test_what_is_said_of_a_plugin_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").touch()
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needs.py").write_text("import nowhere_at_all")
    told = {
        "mine": "There is no plug-in 'mine': no such module can be imported. Did you mean the file mine.py?",
        "yours": "There is no plug-in 'yours': no such module can be imported. Install it, or name a "
        "file: my_plugin.py",
        "yours.py": "There is no plug-in yours.py: wanted a Python file, or the name of a module.",
        "broken.py": f"The plug-in {tmp_path / 'broken.py'} cannot be imported: ZeroDivisionError: division by zero.",
        "needs.py": f"The plug-in {tmp_path / 'needs.py'} cannot be imported: "
        "ModuleNotFoundError: No module named 'nowhere_at_all'.",
    }
    for name, said in told.items():
        with pytest.raises(PluginError) as caught:
            plugins.load([name])
        assert str(caught.value) == said
    assert not any(name.startswith("tunesmith_plugin_broken") for name in sys.modules)


def entry_points(monkeypatch: pytest.MonkeyPatch, **points: str) -> list[str]:
    """Pretend that these are installed; the list says which were asked for."""
    asked: list[str] = []

    def found(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name, value, group) for name, value in points.items()]

    monkeypatch.setattr(plugins.metadata, "entry_points", found)
    monkeypatch.setattr(plugins, "_looked", False)
    return asked


def test_installed_plugins_are_loaded_when_a_name_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "installed_thing.py", "five")
    monkeypatch.syspath_prepend(tmp_path)
    asked = entry_points(monkeypatch, five="installed_thing")
    THINGS.add("own", "tunesmith.things")(len)
    closed: Registry[Any] = Registry("Other")
    assert THINGS["own"] is len and "own" in THINGS and "six" not in closed and list(closed) == []
    assert asked == [] and "installed_thing" not in sys.modules
    assert THINGS["five"]() == "five"
    assert asked == ["tunesmith.plugins"] and set(THINGS) == {"own", "five"}
    with pytest.raises(UnknownName, match="Did you mean 'five'"):
        THINGS["fife"]
    assert len(asked) == 1


def test_a_broken_installed_plugin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed_broken.py").write_text("raise RuntimeError('no\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    entry_points(monkeypatch, words="installed_broken")
    said = r"^The plug-in 'words' \(installed_broken\) of a package cannot be imported: RuntimeError: no. Repair it"
    for _ in range(2):  # nobody takes the second try for a registry that is whole
        with pytest.raises(PluginError, match=said):
            list(THINGS)


def test_two_of_one_name_are_refused_but_not_a_cell_that_runs_again(tmp_path: Path) -> None:
    plugins.load([put(tmp_path / "one.py", "six")])
    with pytest.raises(PluginError, match=r"Thing 'six' is registered twice: by tunesmith_plugin_one_.* and by"):
        plugins.load([put(tmp_path / "other.py", "six")])
    THINGS.add("cell", "__main__")(len)
    THINGS.add("cell", "__main__")(max)
    assert THINGS["cell"] is max
    THINGS.add("ours", "tunesmith.things")(len)
    with pytest.raises(PluginError, match="registered twice"):
        THINGS.add("ours", "tunesmith.things")(max)
    THINGS.add("ours", "tunesmith.things")(len)  # the same thing again is no harm
