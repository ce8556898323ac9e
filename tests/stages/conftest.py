"""A few rows of one's own: two tasks, of which one cluster is held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TASK = """\
task: {task}
cluster: {cluster}
language: en
name: my_{task}
reader: table
path: rows.jsonl
id: animal
input: [animal]
answer: {answer}
templates:
  - {{id: ask, instruction: "What {task} has the {{{{ animal }}}}?", target: "{{{{ {answer} }}}}"}}
  - {{id: tell, instruction: "Tell me the {task} of the {{{{ animal }}}}.", target: "{{{{ {answer} }}}}"}}
"""
ROWS = [("cow", "moo", "barn"), ("dog", "woof", "kennel"), ("cat", "meow", "sofa"), ("hen", "cluck", "coop")]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = (json.dumps({"animal": a, "sound": s, "home": h}) for a, s, h in ROWS)
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "sound.en.yaml").write_text(TASK.format(task="sound", cluster="noise", answer="sound"))
    (folder / "home.en.yaml").write_text(TASK.format(task="home", cluster="places", answer="home"))
    (tmp_path / "held_out.yaml").write_text("clusters: [places]\nwordings: {sound.en: [tell]}\n")
    (tmp_path / "text.txt").write_text("The cow says moo.\n\nThe dog says woof.\n")
    return folder
