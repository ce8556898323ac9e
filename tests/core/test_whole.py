"""Files and folders that are there whole, or as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.core.whole import whole, whole_folder


def inside(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.txt", tmp_path / "b"
    with whole(file) as part, whole_folder(folder) as new:
        part.write_text("one")
        (new / "c").write_text("one")
    there = {"a.txt": "one", "b/c": "one"}
    assert inside(tmp_path) == there
    with pytest.raises(KeyboardInterrupt), whole(file) as part, whole_folder(folder) as new:
        part.write_text("two")
        (new / "c").write_text("two")
        raise KeyboardInterrupt
    assert inside(tmp_path) == there
    with whole(file) as part, whole_folder(folder) as new:
        part.write_text("two")
        (new / "d").write_text("two")
    assert inside(tmp_path) == {"a.txt": "two", "b/d": "two"}


def test_a_folder_that_cannot_get_its_name_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "c").write_text("one")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if ".part" in self.name:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no"), whole_folder(folder) as new:
        (new / "c").write_text("two")
    assert inside(tmp_path) == {"b/c": "one"}
