"""The little world: its facts, the sentences that state them, and the rows of its tasks.

In go the YAML files of this folder. Out come values: ``relations()`` and ``facts()`` as written,
``statements()`` as text to pretrain on, ``clozes()`` to see what a model knows of that text, and
``read(relation, language)`` as the rows of a task.

    facts/geography/capital.yaml
      phrases:     en: {the: "the capital of {x}", its: "its capital", of: "{x}"}
      statements:  en: ["The capital of {x} is {y}.", ...]
      facts:       - {id: france, group: france_japan, en: {x: France, y: Paris}, zh: {x: 法国, y: 巴黎}}

A fact belongs to a ``group``, which goes to training or to the held-out set as a whole: the same
fact in other languages always, and with an explicit ``group`` also its siblings (hot/cold and
cold/hot). The fields ``other_*`` of a row speak of the next fact in its group, so that a
template may ask for two facts at once without telling the answer to a third.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from tunesmith.core.document import Document, shipped
from tunesmith.core.errors import DataError, UnknownName, nearest
from tunesmith.core.types import Source

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")
SETS = ("tasks", "thoughts", "examples")
"""Folders of tasks: ``littleworld`` in a recipe is the first, ``littleworld/thoughts`` the second."""


_RELATION_KEYS = {"relation", "cluster", "source", "phrases", "statements", "facts"}
_FACT_KEYS = {"id", "group", *LANGUAGES}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is true, as said in one language."""

    id: str
    """``capital/france``, the same in every language."""
    relation: str
    cluster: str
    language: str
    fields: Mapping[str, str]
    """``x`` is what the fact is about, ``y`` what it says of it; others help the grammar (``ax``: "a dog")."""
    group: str
    source: Source


@dataclass(frozen=True, slots=True)
class Relation:
    """What the facts of one file have in common."""

    id: str
    cluster: str
    source: str
    """Where a reader can check the facts."""
    statements: Mapping[str, tuple[str, ...]]
    """The sentence forms of each language, with ``{x}`` and ``{y}`` to be filled in."""
    facts: tuple[Fact, ...]
    phrases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """How each language speaks of it: ``the`` ("the capital of {x}"), ``its`` ("its capital"), ``of`` ("{x}").
    With these the sentences of ``frames.yaml`` can state its facts too."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence that says one fact."""

    text: str
    relation: str
    fact: str
    group: str
    language: str


@dataclass(frozen=True, slots=True)
class Cloze:
    """A statement cut off before its answer: ``prompt + before + answer + rest`` is the statement again."""

    prompt: str
    """Without a space at its end."""
    before: str
    """The space between prompt and answer, if there is one. It goes to the prompt where tokens keep the space
    after a word, and to the answer where they keep the one before it: cut where a token ends."""
    answer: str
    rest: str
    relation: str
    fact: str
    group: str
    language: str


@cache
def relations(folder: Path = HERE / "facts") -> tuple[Relation, ...]:
    """All relations, in the order of their file names; every problem of the files is reported at once."""
    problems: list[str] = []
    found = tuple(_relation(path, folder.parent, problems) for path in sorted(folder.rglob("*.yaml")))
    if problems:
        raise DataError("The little world's facts cannot be read:\n" + "\n".join(problems))
    return found


def facts(language: str | None = None) -> list[Fact]:
    """Every fact, in one language or in all."""
    return [fact for relation in relations() for fact in relation.facts if language in (None, fact.language)]


def statements(language: str | None = None) -> list[Statement]:
    """Every sentence of the pretraining text: each fact in all forms of its own relation, and in all frames
    that are common to the relations."""
    return [
        Statement(form.format_map(fact.fields), fact.relation, fact.id, fact.group, fact.language)
        for fact, form in _worded(language)
    ]


def clozes(language: str | None = None) -> list[Cloze]:
    """What a model that has learned the text can continue: the sentences that end with the answer."""
    found = (_cloze(form, fact) for fact, form in _worded(language))
    return [cloze for cloze in found if cloze is not None]


def read(relation: str, language: str) -> Iterator[Fact]:
    """The facts of one relation in one language, with two kinds of fields added: the relation's phrases in the
    words of the fact (``the``: "the capital of France"), and all fields of its neighbour in the group, where it
    has one (``other_x``, ``other_y``, ``other_the`` ...)."""
    found = _find(relation)
    phrases = found.phrases.get(language, {})
    groups: dict[str, list[Fact]] = {}
    for fact in found.facts:
        if fact.language == language:
            said = {name: phrase.format_map(fact.fields) for name, phrase in phrases.items()}
            groups.setdefault(fact.group, []).append(replace(fact, fields={**fact.fields, **said}))
    for mates in groups.values():
        for fact, other in zip(mates, [*mates[1:], mates[0]], strict=True):
            extra = {f"other_{name}": value for name, value in other.fields.items()} if other is not fact else {}
            yield replace(fact, fields={**fact.fields, **extra})


def chained(first: str, then: str, language: str) -> Iterator[Fact]:
    """Facts that take two steps: the answer of the first relation is what the second is asked about.

    ``the`` is the whole question ("the capital of the home country of the Eiffel Tower"), ``step`` and ``next_step``
    are the two facts on the way, as sentences without a stop, and ``y`` is the answer. A fact belongs to the group of
    its first step: who starts from the Eiffel Tower is held out as a whole. What leads back to its start is left out.
    """
    onward = {fact.fields["x"]: fact for fact in read(then, language) if "x" in fact.fields}
    phrase = _find(then).phrases[language]["the"]
    for fact in read(first, language):
        on = onward.get(fact.fields["y"])
        if on is None or on.fields["y"] == fact.fields.get("x"):
            continue
        said = {
            "the": phrase.format(x=fact.fields["the"], ax=fact.fields["the"]),
            "step": _says(fact),
            "next_step": _says(on),
            "y": on.fields["y"],
        }
        name = fact.id.partition("/")[2]
        yield replace(fact, id=f"{first}/{then}_{name}", relation=first, fields={**fact.fields, **said})


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a relation before a question: inputs, outputs, and why they are right or wrong."""

    good: tuple[tuple[str, str, str], ...]
    bad: tuple[tuple[str, str, str], ...]
    asked: tuple[Fact, ...]
    """The other facts."""


def with_examples(relation: str, language: str) -> Shown:
    """Two facts of a relation are good examples; two others, each with the answer of the other, are bad ones."""
    facts = [fact for fact in read(relation, language) if "x" in fact.fields]
    firsts = list({fact.fields["y"]: fact for fact in reversed(facts)}.values())[::-1][:4]
    if len(firsts) < 4:
        raise DataError(f"The relation {relation!r} has {len(firsts)} different answers, wanted 4 to show examples.")
    good = tuple((fact.fields["x"], fact.fields["y"], _says(fact) + ".") for fact in firsts[:2])
    bad = tuple(
        (fact.fields["x"], other.fields["y"], f"{_says(fact)}, not {other.fields['y']}.")
        for fact, other in (firsts[2:], firsts[:1:-1])
    )
    return Shown(good, bad, tuple(fact for fact in facts if fact not in firsts))


def task_files(name: str = "tasks") -> list[Path]:
    """The task files, for ``data.task.load_tasks``: the tasks, or another set of them (``SETS``)."""
    if name not in SETS:
        raise UnknownName("Set of the little world's tasks", name, SETS)
    return sorted((HERE / name).rglob("*.yaml"))


def held_out() -> dict[str, Any]:
    """What the shipped recipes hold out: ``clusters``, ``tasks``, ``wordings`` (by task) and ``instances``."""
    loaded: dict[str, Any] = shipped(HERE / "held_out.yaml")
    return loaded


def _worded(language: str | None) -> Iterator[tuple[Fact, str]]:
    """Each fact with each form that states it in the text."""
    common: dict[str, list[str]] = shipped(HERE / "frames.yaml")
    for relation in relations():
        frames = {
            name: [_framed(frame, phrases) for frame in common[name]] for name, phrases in relation.phrases.items()
        }
        for fact in relation.facts:
            if language in (None, fact.language):
                yield from ((fact, form) for form in relation.statements[fact.language])
                yield from ((fact, frame) for frame in frames.get(fact.language, ()))


def _framed(frame: str, phrases: Mapping[str, str]) -> str:
    """A common frame in the words of one relation: a form like those that the relation has of its own."""
    the = phrases["the"]
    words = {**phrases, "The": the[0].upper() + the[1:]}
    return re.sub(r"\{(the|The|its|of)\}", lambda found: words[found[1]], frame)


def _says(fact: Fact) -> str:
    the = fact.fields["the"]
    return f"{the}是{fact.fields['y']}" if fact.language == "zh" else f"{the[0].upper()}{the[1:]} is {fact.fields['y']}"


def _find(relation: str) -> Relation:
    for candidate in relations():
        if candidate.id == relation:
            return candidate
    raise UnknownName("Relation", relation, [r.id for r in relations()])


def _relation(path: Path, root: Path, problems: list[str]) -> Relation:
    """One facts file. Problems are collected, with their lines, and the caller raises."""
    document = Document.open(path)
    data: dict[str, Any] = document.value
    where = path.relative_to(root).as_posix()

    def check_keys(found: Iterable[str], known: set[str], line: int) -> None:
        for key in found:
            if key not in known:
                close = nearest(key, known)
                hint = f" Did you mean {close!r}?" if close else ""
                problems.append(f"{where}:{line}: unknown key {key!r}.{hint}")

    check_keys(data, _RELATION_KEYS, 1)
    name, cluster = str(data.get("relation")), str(data.get("cluster"))
    if (name, cluster) != (path.stem, path.parent.name):
        problems.append(f"{where}:1: relation {name!r} of cluster {cluster!r} does not belong in this file")
    forms = {language: tuple(texts) for language, texts in data.get("statements", {}).items()}
    found: list[Fact] = []
    for i, row in enumerate(data.get("facts", [])):
        line = document.line(("facts", i))
        check_keys(row, _FACT_KEYS, line)
        group = str(row.get("group", row["id"]))
        for language in LANGUAGES:
            if language not in row:
                continue
            fields = row[language]
            wanted = {part for form in forms.get(language, ()) for _, part, _, _ in Formatter().parse(form) if part}
            for missing in sorted(wanted - set(fields)):
                problems.append(f"{where}:{line}: {row['id']} has no field {missing!r} in {language}")
            for key, value in fields.items():
                if not isinstance(value, str):
                    problems.append(f"{where}:{line}: {row['id']}: {key} is {value!r}; put it in quotes")
            found.append(
                Fact(
                    id=f"{name}/{row['id']}",
                    relation=name,
                    cluster=cluster,
                    language=language,
                    fields=fields,
                    group=group if "/" in group else f"{name}/{group}",
                    source=Source(where, line),
                )
            )
    return Relation(name, cluster, str(data.get("source", "")), forms, tuple(found), data.get("phrases", {}))


def _cloze(form: str, fact: Fact) -> Cloze | None:
    """Cut a sentence before its answer, if all that the answer depends on comes before it and only a stop after."""
    parts = [(text, part) for text, part, _, _ in Formatter().parse(form)]
    names = [part for _, part in parts if part]
    answer = fact.fields["y"]
    last = fact.fields[names[-1]]
    if "y" in names[:-1] or len(names) < 2 or not last.endswith(answer):
        return None
    rest = parts[-1][0] if parts[-1][1] is None else ""
    if any(letter.isalnum() for letter in rest):
        return None
    text = form.format_map(fact.fields)
    start = len(text) - len(rest) - len(answer)
    prompt = text[:start].rstrip(" ")
    before = text[len(prompt) : start]
    return Cloze(prompt, before, answer, rest, fact.relation, fact.id, fact.group, fact.language)
