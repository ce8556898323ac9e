"""The ``eval`` stage: ask the base, the tuned model and those of the ablation what was held out.

In go a build and models; out come every answer (``answers.jsonl``) and nothing else. All figures are made from the
answers, by the ``report`` stage, so that a figure can always be traced to what was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from rich.markup import escape

from tunesmith.core.document import Problem
from tunesmith.core.errors import EvalError, counted
from tunesmith.core.settings import MOST_ROWS, MOST_TOKENS, Shots
from tunesmith.core.types import Conversation, Level
from tunesmith.core.whole import write_json
from tunesmith.stages import rows, training
from tunesmith.stages.build import load_tasks_of
from tunesmith.stages.stage import KINDS, From, Job, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.ask.respondent import Local
    from tunesmith.chat import ChatFormat
    from tunesmith.evals.asking.ask import Trace
    from tunesmith.evals.asking.levels import Trained
    from tunesmith.evals.asking.suite import Asked, Suite
    from tunesmith.evals.records import Record

NEW: tuple[Level, ...] = ("task", "cluster")
"""What the models of an ablation are asked: tasks that none of them was trained on."""


@KINDS.add("eval")
class Evaluate(Stage):
    """Ask models what was held out."""

    data: Annotated[str, From("data")] = Field(description="The build stage whose held-out questions are asked.")
    base: Annotated[str, From("model", folder=True)] = Field(
        default="", description="The model before tuning; left out, the tuned one is asked alone."
    )
    tuned: Annotated[str, From("chat model", folder=True)] = Field(description="The model after tuning.")
    ablation: Annotated[dict[str, str], From("chat model", folder=True)] = Field(
        default_factory=dict,
        description="Format -> a model tuned on that format; it is asked by instruction about new tasks and clusters.",
    )
    shots: list[Shots] = Field(
        default=[0], description="Answered examples before each question; the build writes them."
    )
    cloze: int = Field(
        default=400, ge=0, le=MOST_ROWS, description="Sentences of the text to finish: is what it knew still known?"
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        le=MOST_TOKENS,
        description="Tokens of the longest answer. Default: what nearly all given answers need.",
    )
    judge: Annotated[str, From("model", folder=True)] = Field(
        default="",
        description="A model that says which long answers are better, the base's or the tuned one's.",
    )
    suites: list[str] = Field(
        default_factory=list, description="Suites to ask besides; how new their questions are is told by the build."
    )

    gives: ClassVar[tuple[str, ...]] = ("scores",)
    rooms: ClassVar[tuple[str, ...]] = (
        "stages/rows.py",
        "ask",
        "evals",
        "models",
        "chat",
        "data",
        "core/document.py",
        "core/settings.py",
    )

    def files(self) -> list[Path]:
        from tunesmith.data.builds.manifest import files_of
        from tunesmith.data.files import files_in
        from tunesmith.evals.asking.suite import Suite, suite_file

        found: list[Path] = []
        for path in self.suites:
            suite = Suite.load(path)
            tasks = load_tasks_of(suite.tasks) if suite.tasks else []
            found += [suite_file(path)[0], *(file for task in tasks for file in files_of(task))]
            found += [file for place in suite.text for file in files_in(Path(place))]
        return list(dict.fromkeys(found))

    def foresee(self, job: Job) -> Iterator[Problem | str]:
        from tunesmith.data.builds.paths import held_out_file
        from tunesmith.evals.asking.open_ended import too_short

        build = job.inputs.get(self.data)
        if build is None:
            return
        for i, shots in enumerate(self.shots):
            if not held_out_file(build, "instruction", shots).exists():
                yield Problem(("shots", i), f"the build {self.data!r} was not made with shots: {shots}; add it there")
                return
        folder = training.tokenizer_of(job, self.tuned)
        if folder is None or self.max_new_tokens is None:
            return
        length = training.length_in(folder)
        held = [rows.held_out(build, "instruction", shots) for shots in self.shots]
        asked = [row for levels in held for many in levels.values() for row in many]
        if wrong := too_short(asked, length, self.max_new_tokens):
            yield Problem(("max_new_tokens",), wrong)

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.data.leaks.item import item_of
        from tunesmith.evals.asking.levels import Trained
        from tunesmith.evals.asking.suite import Suite
        from tunesmith.evals.leaked import leaks_into, marked, write_leaks
        from tunesmith.evals.records import ANSWERS, write_records
        from tunesmith.evals.viewer import write_viewer

        build = job.inputs[self.data]
        fmt = training.open_format(training.model_folder(job.inputs[self.tuned]))
        trained_on = rows.train(build, "instruction")
        held = {shots: rows.held_out(build, "instruction", shots) for shots in self.shots}
        suites = [(suite := Suite.load(path), suite.questions(load_tasks_of)) for path in self.suites]
        limit = self._limit(job, fmt, [row for levels in held.values() for many in levels.values() for row in many])
        asking = _Asking(self, job, fmt, held, suites, Trained.of(trained_on), limit)
        for name, stage in (("base", self.base), ("tuned", self.tuned)):
            if stage:
                asking.ask(name, open_model(job.inputs[stage]))
        for format, stage in self.ablation.items():
            asking.records += self._ablated(job, fmt, build, format, stage, limit)
        if self.judge and self.base:
            self._judged(job, asking.records)
        questions = [row for levels in held.values() for level in levels for row in levels[level]]
        questions += [row for _, asked in suites for shots in sorted(asked.questions) for row in asked.questions[shots]]
        found = leaks_into(questions, map(item_of, trained_on))
        records = marked(asking.records, questions, found)
        models = list(dict.fromkeys(r.model for r in records))
        loss = _losses(job, records)
        write_records(job.out / ANSWERS, records)
        leaks = dict.fromkeys(models, found)
        write_leaks(job.out / "leaks.jsonl", leaks)
        write_viewer(job.out / "answers.html", job.out.parent.name, records, traces=asking.traces, leaks=leaks)
        audited = {r.id: bool(r.leak) for r in records if r.leak is not None}
        job.step(f"{len(records):,} answers; {sum(audited.values()):,} of {len(audited):,} questions leak")
        return {"answers": len(records), "models": sorted(models), **({"losses": loss} if loss else {})}

    def _judged(self, job: Job, records: Sequence[Record]) -> None:
        """Let the judge compare the answers to open-ended questions, in ``judged.json``."""
        from tunesmith.ask.respondent import Local
        from tunesmith.evals.judges.judge import judge, matches_of
        from tunesmith.evals.metrics.answer_bits import NAME

        tuned, base = ([r for r in records if (r.model, r.metric) == (who, NAME)] for who in ("tuned", "base"))
        if not tuned:
            job.step("no question is open-ended, so there is nothing to judge")
            return
        folder = job.inputs[self.judge]
        who = Local(open_model(folder), training.open_format(training.model_folder(folder)))
        with job.progress("judging") as tell:
            found = judge(who, matches_of(tuned, base), progress=tell)
        write_json(job.out / "judged.json", asdict(found))
        rate = found.rate
        job.step(
            f"{escape(self.judge)} prefers the tuned model's answer in {100 * rate.value:.0f} of 100 "
            f"({100 * rate.low:.0f} to {100 * rate.high:.0f}, {rate.n} questions); {found.unread} of {found.asked} "
            "verdicts were not readable"
        )

    def _limit(self, job: Job, fmt: ChatFormat, asked: Sequence[Conversation]) -> int:
        """How long an answer may be; and what is said of tasks whose answers are long."""
        from tunesmith.evals.asking.open_ended import open_tasks, room_for

        def length(text: str) -> int:
            return len(fmt.text_ids(text))

        for task, middle in open_tasks(asked, length).items():
            job.step(
                f"{escape(task)}: answers of {middle} tokens, and no metric that says which are right. They are kept "
                "to be read and judged. The figure says how well the given ones are predicted (answer_bits)"
            )
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        limit = room_for(asked, length)
        job.step(f"answers may have {limit} tokens, as the given ones need; max_new_tokens says otherwise")
        return limit

    def _ablated(self, job: Job, fmt: ChatFormat, build: Path, format: str, stage: str, limit: int) -> list[Record]:
        """A model tuned on another format, asked by instruction, and in the way that it was tuned."""
        from tunesmith.ask.respondent import Local
        from tunesmith.evals.asking.ask import How
        from tunesmith.evals.asking.open_ended import ask_all

        model = open_model(job.inputs[stage])
        found: list[Record] = []
        for asked in dict.fromkeys(("instruction", format)):
            questions = rows.held_out(build, asked)
            new: dict[Level, list[Conversation]] = {level: questions[level] for level in NEW if level in questions}
            with job.progress(f"tuned on {format}, asked by {asked}") as tell:
                how = How(max_new_tokens=limit, rank=False)
                found += ask_all(Local(model, fmt), new, name=format, format=asked, how=how, progress=tell)
        return found


def _losses(job: Job, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Tell the loss on held-out answers to open-ended questions, and write it to ``losses.json``."""
    from tunesmith.evals.records import losses

    found = losses(records)
    by_level: dict[tuple[str, str, int], list[str]] = {}
    for one in found:
        told = by_level.setdefault((one.level, one.format, one.shots), [])
        told.append(f"{one.model} {one.per_token:.3f} ({one.tokens:,} tokens)")
    for (level, _, shots), models in by_level.items():
        shown = f", {shots} examples shown" if shots else ""
        job.step(f"loss per token of the given answers, {level}{shown}: {escape(', '.join(models))}")
    values = [asdict(one) for one in found]
    if values:
        write_json(job.out / "losses.json", values)
    return values


@dataclass
class _Asking:
    """One model after the other is asked the same, and what they say is gathered."""

    stage: Evaluate
    job: Job
    fmt: ChatFormat
    held: Mapping[int, Mapping[Level, Sequence[Conversation]]]
    """By the number of examples shown."""
    suites: Sequence[tuple[Suite, Asked]]
    known: Trained
    limit: int
    """Tokens of the longest answer."""
    records: list[Record] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)

    def ask(self, name: str, model: PreTrainedModel) -> None:
        from tunesmith.ask.respondent import Local
        from tunesmith.evals.asking.ask import How, ask_text
        from tunesmith.evals.asking.open_ended import ask_all
        from tunesmith.models.vocabulary import extend

        job, stage = self.job, self.stage
        # A base that knows nothing of the format's control tokens is asked in that format all the same.
        embeddings: Any = model.get_input_embeddings()
        extend(model, range(embeddings.num_embeddings, len(self.fmt.tok)))
        who = Local(model, self.fmt)
        how = How(max_new_tokens=self.limit)
        for shots, held in self.held.items():
            with job.progress(f"{name}, {shots} examples shown") as tell:
                self.records += ask_all(who, held, name=name, shots=shots, how=how, traces=self.traces, progress=tell)
        for suite, asked in self.suites:
            self._suite(who, name, suite, asked)
        build = job.inputs[stage.data]
        if stage.cloze and (build / "cloze.jsonl").exists():
            self.records += ask_text(model, self.fmt, _clozes(build, stage.cloze, job.seed), name=name)
        if who.too_long:
            job.step(
                f"[yellow]{counted(len(who.too_long), 'question')} longer than {name} can read, "
                f"{escape(min(who.too_long))} for one: counted as not answered[/]"
            )

    def _suite(self, who: Local, name: str, suite: Suite, asked: Asked) -> None:
        from tunesmith.evals.asking.ask import ask_passages
        from tunesmith.evals.asking.open_ended import ask_all

        for shots, every in asked.questions.items():
            by_level: dict[Level, list[Conversation]] = {}
            for row in every:
                by_level.setdefault(self.known.level(row), []).append(row)
            about: Any = {"name": name, "format": suite.suite, "shots": shots, "how": suite.how}
            with self.job.progress(f"{name}, {suite.suite}, {shots} examples shown") as tell:
                self.records += ask_all(who, by_level, **about, traces=self.traces, progress=tell)
        if asked.passages:
            self.records += ask_passages(who, asked.passages, name=name)


def open_model(stage: Path) -> PreTrainedModel:
    """The model of a training stage, ready to answer."""
    from tunesmith.models.load import load_model

    model = load_model(training.model_folder(stage))
    model.train(False)
    return model


def _clozes(build: Path, count: int, seed: int) -> list[Any]:
    """So many sentences, drawn by the seed, each question once."""
    import random
    from types import SimpleNamespace

    all_of_them = {value["prompt"]: SimpleNamespace(**value) for value in rows.read_lines(build / "cloze.jsonl")}
    if not all_of_them:
        raise EvalError(f"{build / 'cloze.jsonl'} has no sentence to finish.")
    found = list(all_of_them.values())
    random.Random(f"{seed} cloze").shuffle(found)
    return found[:count]
