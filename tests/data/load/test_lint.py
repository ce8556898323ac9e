"""Every check finds the fault that was planted for it, and says nothing of tasks that have none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data import load_tasks
from tunesmith.data.load.lint import TASK_CHECKS, TEMPLATE_CHECKS, Finding, lint, table

HEAD = """
task: capital
cluster: geography
language: en
reader: table
path: rows.jsonl
input: [country]
answer: city
options: 3
templates:
"""
GOOD = """
  - {id: plain, instruction: "What is the capital of {{ country }}?", target: "{{ city }}"}
  - {id: choose, kind: options, instruction: "Capital of {{ country }}? {{ options|join(', ') }}", target: "{{ city }}"}
  - {id: turned, kind: inverted, instruction: "Of which country is {{ city }} the capital?", target: "{{ country }}"}
"""
CITIES = [
    "Paris",
    "Rome",
    "Madrid",
    "Berlin",
    "Vienna",
    "Oslo",
    "Athens",
    "Lisbon",
    "Prague",
    "Dublin",
    "Warsaw",
    "Bern",
]
ROWS = [{"country": f"Land of {city[::-1]}", "city": city} for city in CITIES]


def found(folder: Path, templates: str = GOOD, rows: list[dict[str, str]] | None = None) -> list[Finding]:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS if rows is None else rows)))
    (folder / "capital.yaml").write_text(HEAD.strip() + templates)
    return lint(load_tasks(folder / "capital.yaml"))


def checks(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(f.check, f.where.rpartition("/")[2]) for f in findings]


def test_nothing_is_wrong(tmp_path: Path) -> None:
    findings = found(tmp_path)
    assert findings == []
    assert table(findings) == "nothing looks wrong"


@pytest.mark.parametrize(
    ("template", "check", "what"),
    [
        (
            '{id: bad, instruction: "{{ country }} has the capital {{ city }}. Which?", target: "{{ city }}"}',
            "target_in_prompt",
            "the prompt shows `city`, which is the answer",
        ),
        (
            '{id: bad, instruction: "Name a capital.", target: "{{ city }}"}',
            "constant",
            "asks the same in all rows",
        ),
        (
            '{id: bad, instruction: "A fine city, {{ city|length }} letters?", target: "{{ city }}"}',
            "field_unused",
            "does not show `country`, an input of the task",
        ),
        (
            '{id: bad, instruction: "Is {{ city }} of {{ country }} a capital?", target: "Yes"}',
            "constant",
            "answers 'Yes' in all rows",
        ),
        (
            '{id: bad, instruction: "{{ country }}?", target: "{% if city == \'Rome\' %}{{ city }}{% endif %}"}',
            "empty",
            "gives nothing for 11 of 12 rows: the template gives an empty assistant message",
        ),
        (
            '{id: bad, kind: options, instruction: "Capital of {{ country }}? Choose.", target: "{{ city }}"}',
            "options_without_answer",
            "offers options that lack the answer in 12 of 12 rows",
        ),
        (
            '{id: bad, instruction: "Capital of {{ country }}, {{ none }}?", target: "{{ city }}"}',
            "leftover",
            "leaves None, nan or undefined in the text",
        ),
        (
            '{id: bad, instruction: "What is the  capital\\nof {{ country }}?", target: "{{ city }}"}',
            "duplicate",
            "says the same as template 'plain'",
        ),
    ],
)
def test_a_planted_fault_of_a_template(tmp_path: Path, template: str, check: str, what: str) -> None:
    findings = found(tmp_path, f"{GOOD}  - {template}\n")
    assert (check, "bad") in checks(findings), table(findings)
    finding = next(f for f in findings if f.check == check)
    assert what in finding.what and finding.rows
    assert str(finding).startswith(f"{finding.source}: capital.en/bad: {check}: ")
    assert {where for _, where in checks(findings)} == {"bad"}


def test_faults_of_labels(tmp_path: Path) -> None:
    one = found(tmp_path, rows=[{**row, "city": "2"} for row in ROWS])
    assert ("one_label", "capital.en") in checks(one)
    torn = found(tmp_path, rows=[*ROWS, {"country": ROWS[0]["country"], "city": "Lyon"}])
    (finding,) = [f for f in torn if f.check == "conflict"]
    assert finding.what.startswith("1 input with two outputs: 'Paris' (") and "'Lyon' (" in finding.what
    assert "rows.jsonl:13" in finding.what
    assert checks(found(tmp_path, rows=[])) == [("unusable", "capital.en")]


def superni(folder: Path, definition: str, labels: list[str]) -> list[Finding]:
    task = {
        "Definition": [definition],
        "Categories": ["Sentiment Analysis"],
        "Positive Examples": [{"input": "Good film", "output": labels[0], "explanation": "It praises."}],
        "Negative Examples": [{"input": "Bad film", "output": labels[0], "explanation": "It does not praise."}],
        "Instances": [
            {"id": f"t-{i}", "input": f"Film {i} was so so", "output": [labels[i % len(labels)]]} for i in range(30)
        ],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
    }
    (folder / "task1_films.json").write_text(json.dumps(task))
    return lint(load_tasks(folder / "task1_films.json"))


def test_a_definition_that_names_other_labels(tmp_path: Path) -> None:
    words = "Say whether the film was liked. Answer 'positive' or 'negative'."
    assert superni(tmp_path, words, ["positive", "negative"]) == []
    (finding,) = superni(tmp_path, words, ["positive", "neutral"])
    assert finding.check == "definition" and finding.rows == 15
    assert finding.what == "the definition names 'negative', 'positive', and 15 rows have 'neutral'"
    assert superni(tmp_path, "Say whether the film was liked.", ["yes", "no"]) == []


def test_promptsource_templates(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "templates.yaml").write_text(
        """
dataset: capitals
templates:
  a: {name: asks, jinja: "Capital of {{ country }}? ||| {{ city }}"}
  b: {name: nowhere, jinja: "Capital of {{ land }} {{ country }}? ||| {{ city }}"}
  c: {name: other, jinja: "Capital of {{ country }} now? ||| {{ city }}", answer_choices: "Bonn ||| Turin"}
"""
    )
    (tmp_path / "capital.yaml").write_text(
        "task: capital\ncluster: geography\nlanguage: en\nreader: table\npath: rows.jsonl\nanswer: city\n"
        "templates: templates.yaml\n"
    )
    findings = lint(load_tasks(tmp_path / "capital.yaml"))
    assert ("field_missing", "nowhere") in checks(findings)
    assert ("options_without_answer", "other") in checks(findings)
    assert {where for _, where in checks(findings)} <= {"nowhere", "other"}


def test_every_check_says_what_it_finds() -> None:
    for registry in (TEMPLATE_CHECKS, TASK_CHECKS):
        for name in registry:
            assert (registry[name].__doc__ or "").strip().endswith("."), name


@pytest.mark.parametrize("name", ["task875_emotion_classification"])
def test_a_fault_of_real_data_is_found(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Of 240 tasks of Super-NaturalInstructions one has a definition that forgets a label of its data."""
    import tarfile

    with tarfile.open(shared_data / "superni_tasks.tar.gz") as archive:
        member = next(m for m in archive.getmembers() if name in m.name)
        file = archive.extractfile(member)
        assert file is not None
        (tmp_path / f"{name}.json").write_bytes(file.read())
    (finding,) = lint(load_tasks(tmp_path / f"{name}.json"))
    assert finding.check == "definition" and finding.what.endswith("9 rows have 'sadness'")
