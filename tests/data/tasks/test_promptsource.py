"""promptsource's own templates, all of them, against a straight rendering with Jinja by promptsource's rules."""

from __future__ import annotations

import copy
import random
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, Template, pass_context

from tunesmith.core.errors import RecipeError
from tunesmith.core.types import Conversation, Example, SetAside
from tunesmith.data import Task, Turn, Unrenderable, load_tasks, read
from tunesmith.data.load.preview import sample_rows
from tunesmith.data.tasks import promptsource
from tunesmith.data.tasks.promptsource import Borrowed

SHARED = Path(__file__).parents[4] / "shared/data/promptsource_templates.tar.gz"
ONE = """\
dataset: toy
templates:
  aaaa-1: !Template
    answer_choices: bad ||| good
    id: aaaa-1
    jinja: '{{text}} Is it {{answer_choices | join(" or ")}}? ||| {{ answer_choices [label] }}'
    metadata: !TemplateMetadata
      choices_in_prompt: true
      languages: [en]
      metrics: [Accuracy]
      original_task: true
    name: With choices
    reference: ''
  bbbb-2: !Template
    answer_choices: null
    id: bbbb-2
    jinja: '{% if label == 1 %}Say {{ ["a", "b", "c", "d"] | choice }} of {{text}} ||| {{ notes[0] }}{% endif %}'
    metadata: !TemplateMetadata {choices_in_prompt: false, original_task: false}
    name: With choices
    reference: ''
"""


class Anything(dict[str, Any]):
    """A nested object that has whatever it is asked for."""

    def __missing__(self, key: str) -> list[str]:
        return ["alpha beta", "gamma", "delta", "1"]


VALUES: tuple[Any, ...] = (
    "gamma",
    1,
    0,
    ["alpha beta", "gamma", "delta", "epsilon"],
    Anything(),
    "2",
    [["a b", "gamma"], ["d", "e"]],
    [Anything(), Anything(), Anything()],
    [0, 1, 1, 0],
    2.5,
    Anything(a=Anything(), text="gamma", name="gamma", label=1),
    [{"text": "gamma", "label": 1, "name": "a", "id": "gamma", "value": ["a"]}, {"text": "alpha", "label": 0}],
    {"text": ["gamma"], "answer_start": [0], "label": [0, 1], "a": "gamma"},
)


_EDIT = {
    **dict.fromkeys(("original", "original1", "original2"), "the <cat/> sat down"),
    **dict.fromkeys(("edit", "edit1", "edit2"), "dog"),
    "meanGrade": 1.3,
    "meanGrade1": 1.3,
    "meanGrade2": 0.2,
    "label": 1,
}
_CLIMATE = {"claim": "It warms.", "claim_label": 0, "evidences": [{"evidence": '"Ice."', "evidence_label": 0}] * 5}
_TALK = [{"userId": "Alice", "text": "hi"}, {"userId": "Bob", "text": "ho"}]
_JUDGED = [{"userId": name, "engagement": n, "quality": n, "breadth": n} for n, name in enumerate(("Alice", "Bob"))]
_FREEBASE = {
    "RawQuestion": "who?",
    "Parses": {
        "TopicEntityName": ["old town"],
        "InferentialChain": ["people.person.birth_place"],
        "Answers": [{"AnswersName": [["new york"]]}],
    },
}
ROWS: dict[str, dict[str, Any]] = {
    "Zaid/coqa_expanded": {"story": "a story", "question": "q?", "answer": {"answer_start": 2, "answer_end": 5}},
    "coqa": {"story": "a story", "questions": ["q?"], "answers": {"answer_start": [2], "answer_end": [5]}},
    "cbt/raw": {"title": "Jane_Doe___A_Title.txt.out", "content": "long ago"},
    "climate_fever": _CLIMATE,
    "conv_ai/": {"context": "c", "thread": _TALK, "evaluation": _JUDGED},
    "craigslist": {"utterance": ["a", "b"], "items": {"Price": [3.5]}, "agent_info": {"Target": [2.5, 3.0]}},
    "discofuse": {
        **{
            f"{how}_{which}_sentence": f"{how} {which}"
            for how in ("coherent", "incoherent")
            for which in ("first", "second")
        },
        "discourse_type": "PAIR_CONN",
    },
    "freebase_qa": _FREEBASE,
    "humicroedit": _EDIT,
    "math_dataset": {"question": "Solve 2*x = 4 for x.", "answer": "2"},
    "nlu_evaluation_data": {"text": "wake me", "scenario": "alarm"},
}
"""Rows for the data sets whose templates take their rows apart in ways of their own."""


def straight(template: Borrowed, row: dict[str, Any], id: str) -> list[str]:
    """What promptsource gives: no sandbox, nothing cached; draws by the same seed."""
    DRAW.seed(f"{id}@{template.id}")
    row = copy.deepcopy(row)
    parts = compiled(template.choices).render(**row).split("|||") if template.choices else None
    row["answer_choices"] = [part.strip() for part in parts] if parts else None
    return [part.strip() for part in compiled(template.messages[0].text).render(**row).split("|||")]


DRAW = random.Random()


@lru_cache(maxsize=4)
def compiled(source: str) -> Template:
    jinja = Environment()
    jinja.globals.update(zip=zip)
    # With the context, or Jinja would draw from constant lists once and for all when it compiles.
    draw = pass_context(lambda context, items: DRAW.choice(items))
    jinja.filters.update(choice=draw, random=draw, most_frequent=_most_frequent)
    return jinja.from_string(source)


def _most_frequent(items: Sequence[Any]) -> list[Any] | None:
    counts = Counter(items).most_common()
    return [item for item, count in counts if count == counts[0][1]] if counts else None


def rows_of(template: Borrowed) -> Iterator[dict[str, Any]]:
    """Rows of the fields that a template speaks of, with values of all kinds (those too that it compares with) until
    it can do something with them."""
    yield from (row for name, row in ROWS.items() if template.id.startswith(name))
    names = sorted(template.fields())
    draw = random.Random(template.id)
    source = template.messages[0].text + template.choices
    words = [a or b for a, b in re.findall(r"""(?:==|in)\s*(?:"([^"]*)"|'([^']*)')""", source)]
    numbers = [int(number) for number in re.findall(r"==\s*(-?\d+)", source)]
    values = (*VALUES, *dict.fromkeys(words), *dict.fromkeys(numbers))
    yield {name: 1 if name.startswith(("label", "answer", "idx")) else "gamma" for name in names}
    for _ in range(500):
        yield {name: draw.choice(values) for name in names}


@pytest.mark.skipif(not SHARED.exists(), reason="the templates of promptsource are not beside the repository")
def test_all_279_files_load_and_render_as_promptsource_does(tmp_path: Path) -> None:
    with tarfile.open(SHARED) as archive:
        archive.extractall(tmp_path, filter="data")
    files = sorted(tmp_path.rglob("templates.yaml"))
    templates = [template for file in files for template in promptsource.load(file)]
    assert (len(files), len(templates), len({t.id for t in templates})) == (279, 2085, 2085)
    whole, silent = 0, []
    for template in templates:
        rendered = False
        for i, row in enumerate(rows_of(template)):
            try:
                wanted = straight(template, row, f"r{i}")
            except Exception:  # this row's values are of no kind that the template can use
                continue
            if not rendered or (len(wanted) > 1 and all(wanted)):
                assert template.apply(row, f"r{i}")[0] == wanted, template.id
                rendered = True
            if len(wanted) > 1 and all(wanted):
                whole += 1
                break
        if not rendered:
            silent.append(template.id)
    assert not silent
    assert (
        whole > 1900
    )  # the rest wants rows of a kind that is not made up so easily, and is compared without an answer


def task(tmp_path: Path, rows: str) -> Task:
    (tmp_path / "templates.yaml").write_text(ONE)
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "toy.en.yaml").write_text(
        "task: toy\ncluster: c\nlanguage: en\nreader: table\npath: rows.jsonl\ntemplates: templates.yaml\n"
    )
    return load_tasks(tmp_path / "toy.en.yaml")[0]


def test_rows_in_the_words_of_promptsource(tmp_path: Path) -> None:
    toy = task(tmp_path, '{"text": "a ||| b", "label": 1, "notes": ["fine"]}\n{"text": "c", "label": 0, "notes": []}\n')
    assert [(t.id, t.kind) for t in toy.templates] == [
        ("toy.en/With_choices", "options"),
        ("toy.en/With_choices_bbbb-2", "plain"),
    ]
    found = {row.id: row for row in _rows(toy, "With_choices") if isinstance(row, Conversation)}
    (one, two) = sorted(found.values(), key=lambda row: row.messages[0].content)
    assert [m.content for m in one.messages] == ["a ||| b Is it bad or good?", "good"]
    assert (one.options, one.answers, two.messages[-1].content) == (("bad", "good"), ("good",), "bad")


def test_a_row_that_a_template_skips_is_told(tmp_path: Path) -> None:
    toy = task(tmp_path, '{"text": "t", "label": 1, "notes": ["fine"]}\n{"text": "c", "label": 0, "notes": []}\n')
    rows = _rows(toy, "With_choices_bbbb-2")
    (kept,) = (row for row in rows if isinstance(row, Conversation))
    (skipped,) = (row for row in rows if isinstance(row, SetAside))
    assert kept.messages[-1].content == "fine" and kept == next(
        r for r in _rows(toy, "With_choices_bbbb-2") if r == kept
    )
    assert skipped.reason == "the template gives an empty prompt" and skipped.source.line == 2


def test_the_sandbox_holds_and_a_row_is_not_changed() -> None:
    row = {"items": ["a"]}
    grows = Borrowed("t/x", (Turn("user", "{{ items.append('b') }}{{ items|join }} ||| {{ items[1] }}"),))
    assert grows.apply(row)[0] == ["Noneab", "b"] and row == {"items": ["a"]}
    breaks = Borrowed("t/y", (Turn("user", "{{ ''.__class__.__mro__ }} ||| x"),))
    with pytest.raises(Unrenderable, match="sandbox forbids"):
        breaks.put(Example("e", "t", "c", {}, (), raw=row), None)  # type: ignore[arg-type]


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "templates.yaml").write_text(
        "dataset: x\ntemplates:\n  a: {name: a, jinja: '{% if %}'}\n  b: {name: b}\n"
    )
    with pytest.raises(RecipeError) as told:
        promptsource.load(tmp_path / "templates.yaml")
    assert [line.partition("templates.yaml")[2][:3] for line in str(told.value).splitlines()] == [":3:", ":4:"]


def _rows(toy: Task, name: str) -> list[Conversation | SetAside]:
    return sample_rows(toy, read([toy]), count=9, template=name)
