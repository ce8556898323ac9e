"""Find faults of tasks and templates that raise no error, by rendering rows and checking the result.

    for finding in lint(tasks):
        print(finding)          capital.en/what_is: target_in_prompt: the prompt holds `y`, which is the answer ...

A check is a function that registers itself by name and says in a sentence what it finds. Those of templates get the
template with what it made of some rows of its task (``Trial``); those of tasks get all rows of the task. A finding is a
suspicion with its evidence, not a verdict: a task to repeat a word holds its answer in the prompt, and is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tunesmith.core.errors import DataError, counted
from tunesmith.core.registry import Registry
from tunesmith.core.types import Example, Source
from tunesmith.data.load.examples import Read, read
from tunesmith.data.tasks.promptsource import Borrowed
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Said, Template, Unrenderable, fields_of
from tunesmith.data.text.hashing import hash64

ROWS = 100
"""Rows of a task that each template is tried on."""
ENOUGH = 10
"""Rows from which on it says something that all are alike."""
LABELS = 10
"""A task with at most so many answers to many rows is a choice of labels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks wrong."""

    check: str
    where: str
    """The task, or the template."""
    what: str
    source: Source
    rows: int = 0
    """How many of the rows looked at show it."""
    example: str = ""
    """A row that shows it."""

    def __str__(self) -> str:
        row = f" ({self.example})" if self.example else ""
        return f"{self.source or self.where}: {self.where}: {self.check}: {self.what}{row}"


@dataclass(frozen=True)
class Trial:
    """What a template made of some rows of its task."""

    task: Task
    template: Template
    examples: tuple[Example, ...]

    @cached_property
    def said(self) -> list[tuple[Example, Said]]:
        """The rows in words; those that cannot be put into words are in ``failed``."""
        return [(e, s) for e in self.examples if (s := _put(self.template, e, self.task)) is not None]

    @property
    def failed(self) -> int:
        return len(self.examples) - len(self.said)

    @cached_property
    def of_prompt(self) -> frozenset[str]:
        """The fields that the prompt shows word for word."""
        return self._shown[0]

    @cached_property
    def of_target(self) -> frozenset[str]:
        """The fields that the answer shows word for word."""
        return self._shown[1]

    @cached_property
    def _shown(self) -> tuple[frozenset[str], frozenset[str]]:
        """Each text of a row is changed into a word that stands nowhere else, to see where that word comes out."""
        prompt: set[str] = set()
        target: set[str] = set()
        for example, _ in self.said[:5]:
            for name, value in (example.raw or example.fields).items():
                if not isinstance(value, str) or not value.strip():
                    continue
                changed = replace(
                    example,
                    fields={**example.fields, name: MARK},
                    raw={**example.raw, name: MARK} if example.raw else {},
                )
                said = _put(self.template, changed, self.task)
                if said is None:
                    continue
                if any(MARK in message.content for message in said.messages[:-1]):
                    prompt.add(name)
                if MARK in said.messages[-1].content:
                    target.add(name)
        return frozenset(prompt), frozenset(target)


MARK = "Qxvzjkw"
OfTemplate = Callable[[Trial], Iterator[Finding]]
OfTask = Callable[[Task, Sequence[Example], Sequence[Trial]], Iterator[Finding]]
TEMPLATE_CHECKS: Registry[OfTemplate] = Registry("Check of templates")
TASK_CHECKS: Registry[OfTask] = Registry("Check of tasks")


def lint(tasks: Sequence[Task], found: Read | None = None, rows: int = ROWS) -> list[Finding]:
    """All that looks wrong, by task. ``found`` are the rows of the tasks, if they have been read."""
    findings: list[Finding] = []
    for task in tasks:
        if not task.templates:
            continue
        try:
            examples = (found or read([task])).examples[task.id]
        except DataError as error:
            findings.append(Finding("unusable", task.id, str(error), task.source))
            continue
        few = tuple(sorted(examples, key=lambda e: hash64(e.id))[:rows])
        trials = [Trial(task, template, few) for template in task.templates]
        for name in TASK_CHECKS:
            findings += TASK_CHECKS[name](task, examples, trials)
        for trial in trials:
            for name in TEMPLATE_CHECKS:
                findings += TEMPLATE_CHECKS[name](trial)
    return findings


def table(findings: Iterable[Finding]) -> str:
    """A line for each, and how many of each kind."""
    every = list(findings)
    kinds = Counter(finding.check for finding in every)
    total = ", ".join(f"{name} {count}" for name, count in kinds.most_common()) or "nothing looks wrong"
    return "\n".join([*map(str, every), f"{counted(len(every), 'finding')}: {total}" if every else total])


@TEMPLATE_CHECKS.add("target_in_prompt")
def target_in_prompt(trial: Trial) -> Iterator[Finding]:
    """The answer stands in the prompt: all fields that the answer shows, the prompt shows too."""
    if len(trial.of_target) != 1 or not trial.of_target <= trial.of_prompt:
        return
    (name,) = trial.of_target
    # An answer that is chosen or cut by another field ("the first option, if the label is 0") gives nothing away.
    values = [(str((e.raw or e.fields).get(name, "")).strip(), s) for e, s in trial.said]
    whole = all(s.messages[-1].content == value for value, s in values[:20])
    if whole and all(_inside(s.messages[-1].content, _asked(s)) for _, s in trial.said):
        what = f"the prompt shows `{name}`, which is the answer"
        yield _of(trial, "target_in_prompt", what, len(trial.said), trial.said[0][0])


@TEMPLATE_CHECKS.add("field_missing")
def field_missing(trial: Trial) -> Iterator[Finding]:
    """The template speaks of a field that no row has, which promptsource's templates pass over in silence."""
    if isinstance(trial.template, Borrowed):
        known = {name for example in trial.examples for name in example.raw or example.fields}
        for name in sorted(trial.template.fields() - known):
            yield _of(trial, "field_missing", f"speaks of `{name}`, which no row has", len(trial.examples))


@TEMPLATE_CHECKS.add("field_unused")
def field_unused(trial: Trial) -> Iterator[Finding]:
    """The template asks without a field that the task names as its input."""
    if trial.template.kind in ("plain", "options") and not isinstance(trial.template, Borrowed):
        used = {name for turn in trial.template.messages[:-1] for name in fields_of(turn.text)}
        # A reader may give a field in other forms too ("cow", "the cow"): what counts is what comes out.
        lost = [
            name
            for name in trial.task.input
            if name not in used
            and 2 * sum(_inside(e.fields.get(name, ""), _asked(s)) for e, s in trial.said) < len(trial.said)
        ]
        # A target that is about another field than the answer makes another task, with inputs of its own.
        if lost and trial.task.answer in fields_of(trial.template.target):
            names = ", ".join(f"`{name}`" for name in lost)
            yield _of(trial, "field_unused", f"does not show {names}, an input of the task", len(trial.examples))


@TEMPLATE_CHECKS.add("empty")
def empty(trial: Trial) -> Iterator[Finding]:
    """The template gives nothing for most rows."""
    if trial.failed * 2 > len(trial.examples):
        example = next(e for e in trial.examples if _put(trial.template, e, trial.task) is None)
        try:
            trial.template.put(example, trial.task.answer)
            why = ""
        except Unrenderable as error:
            why = str(error)
        share = "all" if trial.failed == len(trial.examples) else f"{trial.failed} of {len(trial.examples)}"
        yield _of(trial, "empty", f"gives nothing for {share} rows: {why}", trial.failed, example)


@TEMPLATE_CHECKS.add("options_without_answer")
def options_without_answer(trial: Trial) -> Iterator[Finding]:
    """Options are offered, and the right answer is not among them."""
    choices = isinstance(trial.template, Borrowed) and bool(trial.template.choices)
    lost = [
        e
        for e, s in trial.said
        if (s.options and s.messages[-1].content not in s.options)
        or (choices and not s.options)
        or (trial.template.kind == "options" and not choices and not _inside(s.messages[-1].content, _asked(s)))
    ]
    if lost:
        what = f"offers options that lack the answer in {len(lost)} of {counted(len(trial.said), 'row')}"
        yield _of(trial, "options_without_answer", what, len(lost), lost[0])


@TEMPLATE_CHECKS.add("constant")
def constant(trial: Trial) -> Iterator[Finding]:
    """The template gives the same prompt, or the same answer, whatever the row says."""
    if len(trial.said) < ENOUGH:
        return
    prompts = {_asked(s) for _, s in trial.said}
    targets = {s.messages[-1].content for _, s in trial.said}
    if len(prompts) == 1:
        yield _of(trial, "constant", "asks the same in all rows", len(trial.said), trial.said[0][0])
    if len(targets) == 1 and len({e.answers for e, _ in trial.said}) > 1:
        what = f"answers {_short(targets.pop())} in all rows"
        yield _of(trial, "constant", what, len(trial.said), trial.said[0][0])


@TEMPLATE_CHECKS.add("leftover")
def leftover(trial: Trial) -> Iterator[Finding]:
    """Marks of Jinja, or words such as None and nan, that stand in no field of the row come out in the text."""
    for pattern, what in _LEFT:
        # What the row itself says may hold anything.
        hits = [
            e
            for e, s in trial.said
            if any(pattern.search(m.content) for m in s.messages)
            and not any(pattern.search(str(value)) for value in (*e.fields.values(), *e.raw.values(), *e.answers))
        ]
        if len(hits) * 20 > len(trial.said) and not any(
            pattern.search(_plain(t.text)) for t in trial.template.messages
        ):
            yield _of(trial, "leftover", f"leaves {what} in the text", len(hits), hits[0])


@TASK_CHECKS.add("duplicate")
def duplicate(task: Task, examples: Sequence[Example], trials: Sequence[Trial]) -> Iterator[Finding]:
    """Two templates of a task say the same words."""
    seen: dict[tuple[str, ...], Trial] = {}
    for trial in trials:
        said = tuple(" ".join(f"{m.role} {m.content}".split()) for _, s in trial.said[:20] for m in s.messages)
        if not said:
            continue
        if said in seen:
            first = seen[said].template
            what = f"says the same as template {first.name!r} ({first.source})"
            yield _of(trial, "duplicate", what, len(trial.said), trial.said[0][0])
        else:
            seen[said] = trial


@TASK_CHECKS.add("one_label")
def one_label(task: Task, examples: Sequence[Example], trials: Sequence[Trial]) -> Iterator[Finding]:
    """All rows of a task have the same answer, so that nothing can be learned or measured."""
    answers = Counter(e.answers[0] for e in examples if e.answers)
    if len(examples) >= ENOUGH and len(answers) == 1:
        label = next(iter(answers))
        yield Finding("one_label", task.id, f"all rows have the answer {_short(label)}", task.source, len(examples))


@TASK_CHECKS.add("conflict")
def conflict(task: Task, examples: Sequence[Example], trials: Sequence[Trial]) -> Iterator[Finding]:
    """The same input stands in several rows, with answers of which none is right in both."""
    by_input: dict[tuple[tuple[str, str], ...], list[Example]] = {}
    names = task.input or tuple(n for n in (examples[0].fields if examples else ()) if n != task.answer)
    for example in examples:
        if example.answers:
            key = tuple((name, " ".join(example.fields.get(name, "").split())) for name in names)
            by_input.setdefault(key, []).append(example)
    torn = [
        (first, other)
        for many in by_input.values()
        for first, other in [(many[0], next((e for e in many[1:] if not {*many[0].answers} & {*e.answers}), None))]
        if other is not None
    ]
    if torn:
        first, other = torn[0]
        what = (
            f"{counted(len(torn), 'input')} with two outputs: {_short(first.answers[0])} ({first.source}), "
            f"{_short(other.answers[0])} ({other.source})"
        )
        yield Finding("conflict", task.id, what, task.source, len(torn), first.id)


@TASK_CHECKS.add("definition")
def definition(task: Task, examples: Sequence[Example], trials: Sequence[Trial]) -> Iterator[Finding]:
    """The definition quotes labels, and the data has others."""
    text = examples[0].fields.get("definition", "") if examples else ""
    labels = Counter(e.answers[0] for e in examples if e.answers)
    if not text or not 2 <= len(labels) <= LABELS or len(examples) < 2 * len(labels):
        return
    quoted = {q.strip().rstrip(".,").lower() for pair in _QUOTED.findall(text) for q in pair if q.strip()}
    if len(quoted) < 2 or (not any(label.lower() in quoted for label in labels) and len(quoted) > LABELS):
        return
    strange = [label for label in labels if not re.search(rf"(?<!\w){re.escape(label.lower())}(?!\w)", text.lower())]
    if strange and all(len(label.split()) <= 4 for label in labels):
        rows = sum(labels[label] for label in strange)
        said = ", ".join(_short(q) for q in sorted(quoted)[:6])
        what = f"the definition names {said}, and {counted(rows, 'row')} have {', '.join(map(_short, strange[:4]))}"
        example = next(e.id for e in examples if e.answers and e.answers[0] in strange)
        yield Finding("definition", task.id, what, task.source, rows, example)


_LEFT = (
    (re.compile(r"\{\{|\}\}|\{%|%\}"), "marks of Jinja"),
    (re.compile(r"\|\|\|"), "the mark |||"),
    (re.compile(r"(?<![\w'\"])(?:None|nan|NaN|undefined)(?![\w'\"])"), "None, nan or undefined"),
)
_QUOTED = re.compile(r"[\"“]([^\"“”\n]{1,40})[\"”]|(?<!\w)['‘]([^'‘’\n]{1,40})['’](?!\w)")


def _put(template: Template, example: Example, task: Task) -> Said | None:
    try:
        return template.put(example, task.answer)
    except Unrenderable:
        return None


def _asked(said: Said) -> str:
    return "\n".join(m.content for m in said.messages[:-1])


def _inside(answer: str, text: str) -> bool:
    return answer.strip().lower() in text.lower()


def _plain(source: str) -> str:
    """The words of a template itself, without its Jinja."""
    return re.sub(r"\{[{%#].*?[}%#]\}", "", source, flags=re.DOTALL)


def _short(text: str, most: int = 40) -> str:
    one = " ".join(text.split())
    return repr(one if len(one) <= most else one[: most - 1] + "…")


def _of(trial: Trial, check: str, what: str, rows: int, example: Example | None = None) -> Finding:
    return Finding(
        check, trial.template.id, what, trial.template.source or trial.task.source, rows, example.id if example else ""
    )
