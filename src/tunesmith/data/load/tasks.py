"""From files and folders to tasks.

One YAML file holds one task in one language; training and evaluation share it. ``load_tasks`` checks
files whole: every problem of every file is reported at once, with its line and the nearest valid name.

    task: capital              the id is "capital.en"
    cluster: geography
    language: en
    name: world_capital        the data set's name, which the format "name" shows
    reader: littleworld        who reads the rows, and ...
    relation: capital          ... the reader's own keys
    input: [x]                 the fields shown by the formats "name" and "none"
    answer: y                  the field that holds the answer
    options: 4                 answers to choose among: how many to draw, or a list, or a field
    metric: exact_match
    words: {"0": no, "1": yes} what the answers of the data are called in the templates; others are set aside
    only: {split: train}       take the rows whose fields have these values
    templates:
      - {id: what_is, instruction: "What is the capital of {{ x }}?", target: "{{ y }}"}

``templates`` may be the path of a file of promptsource instead, and is left out where the rows of the reader are in
words already. A task of Super-NaturalInstructions is a JSON file; a data file by itself is a task, too, whose reader
is found by looking at it. ``tasks=["labelled@data/"]`` takes the tasks that the package ships, over files in ``data``;
``reasoning@data/`` those of FLAN's chain-of-thought sets. ``gsm8k`` takes a shipped task over the hub, ``gsm8k@data/``
over a copy of the hub's files below ``data``. Where a path is not there, its compressed form is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.core.document import Where, path_of
from tunesmith.core.errors import DataError, RecipeError, near, nearest
from tunesmith.core.settings import MOST_ROWS
from tunesmith.core.types import Source
from tunesmith.core.yaml_file import YamlFile
from tunesmith.data.files.packing import COMPRESSED, kind
from tunesmith.data.files.saved import HUB, local_copy
from tunesmith.data.load.detect import task_of
from tunesmith.data.tasks import promptsource
from tunesmith.data.tasks.reader import READERS
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import KINDS, Template, Turn, check_syntax

_KEYS = (
    "task",
    "cluster",
    "language",
    "name",
    "reader",
    "input",
    "answer",
    "words",
    "only",
    "options",
    "metric",
    "limit",
    "templates",
)
_TEMPLATE_KEYS = ("id", "kind", "instruction", "target", "messages")
_ROLES = ("system", "user", "assistant")
SHIPPED = Path(__file__).parent.parent / "shipped"
"""Tasks that the package carries, over data that it does not: a folder for each collection."""
_NAME = re.compile(r"[\w][\w.+-]*")


def load_tasks(paths: Iterable[Path | str] | Path | str, *, metrics: Collection[str] | None = None) -> list[Task]:
    """The tasks of files and folders, in the order of their ids. ``metrics`` are the names that a task may
    use, where the caller knows them."""
    places = _places(paths)
    tasks: list[Task] = []
    report: list[str] = []
    for path, data in places:
        task: Task | None
        if kind(path) in (".yaml", ".yml"):
            file = YamlFile.read(path, _short(path))
            task = None if file.problems else _task(file, data, metrics, copied=data != path.parent)
            report += file.report()
        else:
            task, problem = _by_itself(path)
            report += [problem] if problem else []
        if task is None:
            continue
        twin = next((other for other in tasks if other.id == task.id), None)
        if twin is None:
            tasks.append(task)
        else:
            report.append(f"{task.source}: task {task.id!r} is already defined in {twin.source}")
    if report:
        count = "1 problem" if len(report) == 1 else f"{len(report)} problems"
        raise RecipeError("\n".join([f"{count} in the task files:", *report]))
    return sorted(tasks, key=lambda task: task.id)


def with_fill(tasks: Sequence[Task], fill: Mapping[str, str]) -> list[Task]:
    """The tasks, of which those with rows in words put these words into placeholders: {name: Ada} for {{name}}."""
    takes = [task for task in tasks if "fill" in READERS[task.reader].keys]
    if fill and not takes:
        raise DataError("No task has rows in words, so there are no placeholders to fill. Leave out `fill`.")
    settings = {task.id: {**task.settings, "fill": {**task.settings.get("fill", {}), **fill}} for task in takes}
    return [replace(task, settings=settings[task.id]) if fill and task.id in settings else task for task in tasks]


def find_task(tasks: Iterable[Task], name: str) -> Task:
    """The task of an id, with the nearest one named where there is none."""
    known = {task.id: task for task in tasks}
    if name not in known:
        raise DataError(f"There is no task {name!r}{near(name, known)}")
    return known[name]


def _places(paths: Iterable[Path | str] | Path | str) -> list[tuple[Path, Path]]:
    """The files that define tasks, each with the folder in which its data are looked for."""
    found: list[tuple[Path, Path]] = []
    for path in [paths] if isinstance(paths, Path | str) else paths:
        name, at, folder = str(path).partition("@")
        if at and (SHIPPED / name).is_dir() and not Path(path).exists():
            data = path_of(folder)
            if not data.is_dir():
                raise RecipeError(f"{path}: there is no folder {data}; the tasks {name!r} look for their data in it")
            found += [(file, data) for file in sorted((SHIPPED / name).rglob("*.yaml"))]
            continue
        if str(path).startswith(HUB):
            found.append((Path(path), Path()))
            continue
        place = path_of(path)
        if not place.exists() and _of_the_hub(SHIPPED / name):
            found += [(file, file.parent) for file in sorted((SHIPPED / name).rglob("*.yaml"))]
            continue
        if place.is_dir() and not (place / "state.json").exists() and not (place / "dataset_dict.json").exists():
            yamls = (p for end in ("*.yaml", "*.yml") for p in place.rglob(end) if not promptsource.is_one(p))
            inside = sorted(yamls) or sorted(place.rglob("task*.json*"))
            if not inside:
                raise RecipeError(
                    f"The folder {place} holds no task files (*.yaml, or Super-NaturalInstructions' JSON)."
                )
            found += [(file, file.parent) for file in inside]
        elif place.exists():
            found.append((place, place.parent))
        else:
            siblings = [p.name for p in place.parent.glob("*")] if place.parent.is_dir() else []
            shipped = sorted(p.name for p in SHIPPED.iterdir() if p.is_dir())
            close = nearest(name, shipped, cutoff=0.75)
            told = f"; did you mean the tasks {close!r}, which are shipped?" if close else near(place.name, siblings)
            told += f" Tasks that are shipped: {', '.join(f'{n}@FOLDER' for n in shipped)}." if at else ""
            raise RecipeError(f"There is no task file or folder {place}{told}")
    return list(dict.fromkeys(found))


def _of_the_hub(folder: Path) -> bool:
    """Whether shipped tasks are over data of the hub, so that they need no folder."""
    first = next(iter(sorted(folder.rglob("*.yaml"))), None)
    return first is not None and f"path: {HUB}" in first.read_text(encoding="utf-8")


def _by_itself(path: Path) -> tuple[Task | None, str]:
    """The task that a data file is without being told; or why it is none."""
    try:
        return task_of(path), ""
    except DataError as error:
        return None, str(error)


def _short(path: Path) -> str:
    """A path as the person who gave it would write it."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _task(file: YamlFile, folder: Path, metrics: Collection[str] | None, copied: bool = False) -> Task | None:
    """The task of a file, or None after its problems have been noted. ``copied``: data of the hub are looked for in the
    folder."""
    value = file.value
    if not isinstance(value, dict):
        file.problem((), f"a task file is a mapping with the keys {', '.join(_KEYS)}")
        return None
    reader = file.text((), value, "reader")
    asked = READERS[reader].keys if reader in READERS else {}
    if reader and reader not in READERS:
        file.problem(("reader",), f"reader {reader!r} is not known{near(reader, READERS)}")
    # Where the reader is not known, any reader's keys may be meant.
    own = asked if reader in READERS else {key for name in READERS for key in READERS[name].keys}
    file.check_keys((), value, [*_KEYS, *own])
    names = {key: _named(file, value, key) for key in ("task", "cluster", "language")}
    id = f"{names['task']}.{names['language']}"
    metric = file.text((), value, "metric", "exact_match")
    if metrics is not None and metric not in metrics:
        file.problem(("metric",), f"metric {metric!r} is not known{near(metric, metrics)}")
    options = _options(file, value)
    in_words = reader in READERS and READERS[reader].gives == "words"
    borrowed = isinstance(value.get("templates"), str)
    inputs = file.texts((), value, "input")
    if in_words:
        for key in ("templates", "input", "answer", "words", "only", "options", "limit"):
            if key in value:
                file.problem(
                    (key,), f"the rows of reader {reader!r} are in words already; {key!r} has no meaning there"
                )
    elif not inputs and not borrowed:
        file.problem(("input",), "'input' names no field; give the fields that stand for the task, as in: input: [x]")
    answer = file.text((), value, "answer", "" if borrowed else "answer")
    for name in (*inputs, *([answer] if answer else [])):
        if not name.isidentifier():
            file.problem(("input",), f"{name!r} cannot be the name of a field; use letters, digits and _")
    templates: tuple[Template, ...] = ()
    if borrowed:
        templates = _borrowed(file, folder, str(value["templates"]), id)
    elif not in_words:
        templates = _templates(file, value, id, names["language"], options)
    words = _texts_by_name(file, value, "words", "the data's answers to words")
    only = _texts_by_name(file, value, "only", "fields to the values that they must have")
    limit = file.number((), value, "limit", MOST_ROWS, whole=True)
    settings = {
        key: _setting(file, value, key, kind.kind, folder, copied) for key, kind in asked.items() if key in value
    }
    for key, wanted in asked.items():
        if wanted.required and key not in value:
            file.problem((), f"the key {key!r} is missing; the reader {reader!r} needs it")
    task = Task(
        id=id,
        cluster=names["cluster"],
        language=names["language"],
        name=_named(file, value, "name", names["task"]),
        reader=reader,
        templates=templates,
        input=inputs,
        answer=answer,
        words=words,
        only=only,
        options=options,
        metric=metric,
        limit=int(limit),
        settings=settings,
        source=Source(file.file, file.line(("task",))),
    )
    return None if file.problems else task


def _named(file: YamlFile, value: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A name that can stand in an id."""
    name = file.text((), value, key, default)
    if name and not _NAME.fullmatch(name):
        file.problem((key,), f"{key!r} is {name!r}; use letters, digits and . _ + - only")
    return name


def _options(file: YamlFile, value: Mapping[str, Any]) -> int | tuple[str, ...] | str:
    found = value.get("options", "0")
    if isinstance(found, list):
        return file.texts((), value, "options")
    if not isinstance(found, str) or not found:
        file.problem(("options",), "'options' is how many to draw, a list of answers, or the name of a field")
        return 0
    if not re.fullmatch(r"-?[0-9.]+", found):
        return found
    if not found.isdigit() or len(found) > 6 or int(found) == 1:
        file.problem(("options",), f"'options' is {found[:80]}, wanted 2 to 999,999 (0 for none)")
        return 0
    return int(found)


def _setting(file: YamlFile, value: Mapping[str, Any], key: str, kind: str, folder: Path, copied: bool) -> Any:
    found = value[key]
    if kind == "map":
        if not isinstance(found, dict) or not all(isinstance(item, str) and item for item in found.values()):
            file.problem((key,), f"{key!r} is wanted as a mapping of names to names")
            return {}
        return found
    text = file.text((), value, key)
    if kind == "path" and text:
        if text.startswith(HUB):
            try:
                return local_copy(folder, text) if copied else Path(text)
            except DataError as error:
                file.problem((key,), str(error))
                return Path(text)
        path = folder / path_of(text)
        compressed = (path.with_name(path.name + end) for end in COMPRESSED)
        path = path if path.exists() else next((p for p in compressed if p.exists()), path)
        if not path.exists():
            beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
            file.problem((key,), f"there is no file {path}{near(path.name, beside)}")
        return path
    return text


def _texts_by_name(file: YamlFile, value: Mapping[str, Any], key: str, what: str) -> dict[str, str]:
    found = value.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(item, str) and item for item in found.values()):
        file.problem((key,), f"{key!r} is wanted as a mapping of {what}")
        return {}
    return found


def _borrowed(file: YamlFile, folder: Path, text: str, task: str) -> tuple[Template, ...]:
    """The templates of a file of promptsource."""
    path = folder / path_of(text)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        file.problem(("templates",), f"there is no file {path}{near(path.name, beside)}")
        return ()
    try:
        return promptsource.load(path, task)
    except RecipeError as error:
        file.problem(("templates",), str(error))
        return ()


def _templates(
    file: YamlFile, value: Mapping[str, Any], task: str, language: str, options: int | tuple[str, ...] | str
) -> tuple[Template, ...]:
    rows = value.get("templates")
    if not isinstance(rows, list) or not rows:
        file.problem(("templates",), "'templates' is wanted as a list with at least one template")
        return ()
    found: dict[str, Template] = {}
    for i, row in enumerate(rows):
        where: Where = ("templates", i)
        if not isinstance(row, dict):
            file.problem(where, f"a template is a mapping with the keys {', '.join(_TEMPLATE_KEYS)}")
            continue
        file.check_keys(where, row, _TEMPLATE_KEYS)
        name = file.text(where, row, "id")
        if name and not re.fullmatch(r"[\w.-]+", name):
            file.problem((*where, "id"), f"'id' is {name!r}; use letters, digits and . _ - only")
        if name in found:
            file.problem((*where, "id"), f"template {name!r} is given twice; first on line {found[name].source.line}")
        kind = file.text(where, row, "kind", "dialogue" if "messages" in row else "plain")
        if kind and kind not in KINDS:
            file.problem((*where, "kind"), f"template kind {kind!r} is not known{near(kind, KINDS)}")
        if kind == "options" and not options:
            file.problem((*where, "kind"), "this template shows options, but the task has no key 'options'")
        messages = _messages(file, where, row)
        found[name] = Template(f"{task}/{name}", messages, kind, language, Source(file.file, file.line(where)))
    return tuple(found.values())


def _messages(file: YamlFile, where: Where, row: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns of a template: of ``messages``, or of the short form ``instruction`` and ``target``."""
    places: list[Where]
    if "messages" not in row:
        turns = [("user", file.text(where, row, "instruction")), ("assistant", file.text(where, row, "target"))]
        places = [(*where, "instruction"), (*where, "target")]
    else:
        for key in ("instruction", "target"):
            if key in row:
                file.problem((*where, key), f"a template has 'messages' or {key!r}, not both")
        rows = row["messages"]
        if not isinstance(rows, list) or not all(isinstance(item, dict) for item in rows) or not rows:
            file.problem((*where, "messages"), "'messages' is wanted as a list of {role: ..., content: ...}")
            return ()
        places = [(*where, "messages", i) for i in range(len(rows))]
        turns = []
        for place, item in zip(places, rows, strict=True):
            file.check_keys(place, item, ("role", "content"))
            turns.append((file.text(place, item, "role"), file.text(place, item, "content")))
        _check_roles(file, places, [role for role, _ in turns])
    for place, (_, text) in zip(places, turns, strict=True):
        wrong = check_syntax(text)
        if wrong:
            # In a block scalar the lines of the text are lines of the file, one below the key.
            below = wrong[0] if wrong[0] > 1 else 0
            file.problems.append((file.line(place) + below, f"this is not Jinja: {wrong[1]}"))
    return tuple(Turn(role, text) for role, text in turns)


def _check_roles(file: YamlFile, places: list[Where], roles: list[str]) -> None:
    wanted = "user"
    for i, (place, role) in enumerate(zip(places, roles, strict=True)):
        if role not in _ROLES:
            if role:
                file.problem((*place, "role"), f"role {role!r} is not known{near(role, _ROLES)}")
            return
        if role == "system" and i == 0:
            continue
        if role != wanted:
            file.problem((*place, "role"), f"this turn is the {role}'s, wanted the {wanted}'s")
            return
        wanted = "assistant" if role == "user" else "user"
    if roles[-1] != "assistant":
        file.problem(places[-1], "the last message is the answer, and must be the assistant's")
