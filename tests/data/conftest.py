"""A toy world small enough to count by hand: three tasks in two clusters, four facts in two groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tunesmith.data import Task, load_tasks

FACTS = [
    ("france", "France", "Paris"),
    ("japan", "Japan", "Tokyo"),
    ("china", "China", "Beijing"),
    ("peru", "Peru", "Lima"),
]
CAPITAL = """\
task: capital
cluster: geography
language: en
name: world_capital
reader: table
path: capital.jsonl
id: id
group: group
input: [x]
answer: y
options: 3
templates:
  - id: what
    instruction: "What is the capital of {{ x }}?"
    target: "{{ y }}"
  - id: sentence
    instruction: "Say the capital of {{ x }}."
    target: "It is {{ y }}."
  - id: choose
    kind: options
    instruction: "Capital of {{ x }}?{% for o in options %}\\n- {{ o }}{% endfor %}"
    target: "{{ y }}"
  - id: whose
    kind: inverted
    instruction: "{{ y }} is the capital of which country?"
    target: "{{ x }}"
  - id: turns
    kind: dialogue
    messages:
      - {role: system, content: "Be brief."}
      - {role: user, content: "I ask about {{ x }}."}
      - {role: assistant, content: "Yes?"}
      - {role: user, content: "Its capital?"}
      - {role: assistant, content: "{{ y }}"}
"""
CONTINENT = """\
task: continent
cluster: geography
language: en
reader: table
path: continent.jsonl
id: id
input: [x]
answer: y
templates:
  - {id: where, instruction: "Where is {{ x }}?", target: "{{ y }}"}
"""
SOUND = """\
task: sound
cluster: animals
language: en
reader: table
path: sound.csv
input: [animal]
answer: sound
templates:
  - {id: says, instruction: "What does a {{ animal }} say?", target: "{{ sound }}"}
"""


@pytest.fixture
def world(tmp_path: Path) -> list[Task]:
    """capital.en, continent.en (cluster geography) and sound.en (cluster animals), read from files."""
    write = {
        "capital.en.yaml": CAPITAL,
        "continent.en.yaml": CONTINENT,
        "sound.en.yaml": SOUND,
        "capital.jsonl": "".join(
            f'{{"id": "{id}", "x": "{x}", "y": "{y}", "group": "capital/{id}"}}\n' for id, x, y in FACTS
        ),
        "continent.jsonl": '{"id": "france", "x": "France", "y": "Europe"}\n'
        '{"id": "peru", "x": "Peru", "y": "America"}\n',
        "sound.csv": "animal,sound\ndog,woof\ncat,meow\n",
    }
    for name, text in write.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return load_tasks(tmp_path)


@pytest.fixture
def task_of(tmp_path: Path) -> Callable[..., Task]:
    """A task over a data file of one's own: ``task_of("rows.jsonl", content, "answer: y", ...)``."""

    def make(name: str, content: str | bytes, lines: Sequence[str] = ()) -> Task:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        text = "\n".join(
            [
                f"task: t\ncluster: c\nlanguage: en\nreader: table\npath: {name}\ninput: [x]",
                *(lines or ["answer: y"]),
                'templates:\n  - {id: a, instruction: "{{ x }}?", target: "go"}\n',
            ]
        )
        (tmp_path / "t.en.yaml").write_text(text, encoding="utf-8")
        return load_tasks(tmp_path / "t.en.yaml")[0]

    return make
