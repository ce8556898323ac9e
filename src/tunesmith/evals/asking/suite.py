"""A suite: a YAML file that says what models are asked, of the same tasks that are trained on.

suite: reading
tasks: [my_tasks/, gsm8k_test.jsonl]
rows: 200                 of each task; the same ones for every model, in whatever order files come
wordings: 3               of each task's own; left out, all of them
shots: [0, 5]             answered examples before a question, which are never asked themselves
examples: own             each question has its own; ``same``: all have the same
thoughts: asked           it may think aloud; what it concludes is scored
turns: own                of several turns it gives all answers itself, not only the last
max_new_tokens: 64
samples: 10               answers to each question, drawn at
temperature: 0.8
figures: [pass@1, pass@10]

asked = Suite.load("reading.yaml").questions()        {0: [...], 5: [...]}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from tunesmith.ask.respondent import Draw
from tunesmith.core.document import path_of
from tunesmith.core.errors import EvalError
from tunesmith.core.settings import MOST_ROWS, MOST_SEED, MOST_TOKENS, Settings, Shots, find_file
from tunesmith.core.settings import load as load_settings
from tunesmith.core.types import Conversation, Example, Message, SetAside
from tunesmith.data import load_tasks, read
from tunesmith.data.files import files_in
from tunesmith.data.load.preview import order
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.data.tasks.render import render
from tunesmith.data.tasks.task import Task
from tunesmith.data.tasks.template import Template, Unrenderable
from tunesmith.evals.asking.ask import How
from tunesmith.evals.corpus.figures import FIGURES, tries_of
from tunesmith.evals.metrics import METRICS

Row = TypeVar("Row", Example, Conversation)
SHIPPED = Path(__file__).parent.parent / "suites"
"""Suites that the package carries, by name: gsm8k, ifeval, mmlu ..."""
_THINK = {"zh": "让我们一步一步地思考，最后用“答案是”给出答案。"}
_THINK_ENGLISH = 'Let\'s think step by step, and end with "The answer is".'


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions of a suite."""

    questions: dict[int, list[Conversation]]
    """By the number of examples that stand before them."""
    passages: tuple[Conversation, ...]
    """Plain texts, each the only message of its row."""
    set_aside: tuple[SetAside, ...]


class Suite(Settings):
    """What models are asked. A key that is not here is an error."""

    suite: str = Field(min_length=1, description="Its name in tables.")
    tasks: list[str] = Field(default=[], description="Task files, data files, or folders of them.")
    text: list[str] = Field(default=[], description="Files of plain text: how well is it predicted?")
    rows: int = Field(200, ge=1, le=MOST_ROWS, description="Questions of each task, in each of its wordings.")
    wordings: int | None = Field(
        None, ge=1, le=MOST_ROWS, description="Wordings of each task; all of them where it is left out."
    )
    shots: list[Shots] = Field(default=[0], min_length=1, description="Answered examples before a question.")
    examples: Literal["own", "same"] = Field(
        "own", description="Whether each question has its own examples, or all have the same, which is faster."
    )
    thoughts: Literal["asked", "shown"] | None = Field(
        None,
        description="asked: each question asks to think step by step; shown: the examples do so, as GSM8K's answers. "
        "In both cases what the model concludes is scored.",
    )
    turns: Literal["given", "own"] = Field(
        "given", description="Of several turns the earlier answers are those of the data, or the model's own."
    )
    rank: bool = Field(True, description="Whether it is also seen which option is likeliest.")
    unasked: bool = Field(False, description="Whether it is seen how likely options are without a question (PMI).")
    max_new_tokens: int = Field(64, ge=1, le=MOST_TOKENS, description="Longest answer.")
    samples: int = Field(1, ge=1, le=10_000, description="Answers to each question; above 1 with a temperature.")
    temperature: float = Field(0.0, ge=0, le=100, allow_inf_nan=False, description="0: the likeliest token each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw from the likeliest tokens that make up this share.")
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default=[], description="Texts that end an answer.")
    figures: list[str] = Field(
        default=[], description=f"Figures of many answers together: {', '.join(FIGURES)}, pass@K for any K."
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Which rows and examples are drawn, and what is sampled.")

    @classmethod
    def load(cls, path: Path | str) -> Suite:
        """Read and check a file; paths of tasks are meant from its folder. ``gsm8k`` is a suite that is shipped, over
        the hub's data; ``gsm8k@data/`` is the same over a copy below ``data``."""
        path, folder = suite_file(path)
        suite = load_settings(cls, path, "a suite")
        if not suite.tasks and not suite.text:
            raise EvalError(f"{path} names neither `tasks` nor `text`, so it asks nothing.")
        if suite.samples > 1 and not suite.temperature:
            raise EvalError(
                f"{path}: `samples: {suite.samples}` at temperature 0 would be the same answer each time. Set "
                "`temperature`, 0.8 for example."
            )
        for name in suite.figures:
            if (k := tries_of(name)) and k > suite.samples:
                raise EvalError(f"{path}: {name} needs {k} answers to each question. Set `samples: {k}` or more.")
        if path.parent == SHIPPED:
            return suite.model_copy(update={"tasks": [f"{task}@{folder}" if folder else task for task in suite.tasks]})
        places = {"tasks": suite.tasks, "text": suite.text}
        return suite.model_copy(update={key: [_place(path.parent, t) for t in of] for key, of in places.items()})

    @property
    def how(self) -> How:
        """How the questions are asked."""
        return How(
            max_new_tokens=self.max_new_tokens,
            rank=self.rank and self.thoughts is None,
            unasked=self.unasked,
            own=self.turns == "own",
            thoughts=self.thoughts is not None,
            draw=Draw(self.temperature, self.top_p, self.seed, tuple(self.stop)),
            samples=self.samples,
        )

    def questions(self, load: Callable[[Sequence[str]], list[Task]] | None = None) -> Asked:
        """All questions, the same at every call. ``load`` may know tasks by more names than those of files."""
        tasks: list[Task] = []
        if self.tasks:
            tasks = load(self.tasks) if load else load_tasks([Path(place) for place in self.tasks], metrics=METRICS)
        found = read(tasks)
        asked: dict[int, list[Conversation]] = {shots: [] for shots in self.shots}
        aside = list(found.set_aside)
        for task in tasks:
            said = sorted(found.conversations.get(task.id, ()), key=lambda row: self._order(row.id))
            examples = sorted(found.examples[task.id], key=lambda example: self._order(example.id))
            for shots in self.shots:
                asked[shots] += self._in_words(task, said, shots)
                asked[shots] += self._of_task(task, examples, shots, aside)
        passages = self._passages(aside)
        if not any(asked.values()) and not passages:
            raise EvalError(f"Suite {self.suite!r} asks nothing: its tasks have no rows.")
        if self.thoughts == "asked":
            asked = {shots: [_to_think(row) for row in rows] for shots, rows in asked.items()}
        return Asked({shots: rows for shots, rows in asked.items() if rows}, tuple(passages), tuple(aside))

    def _passages(self, aside: list[SetAside]) -> list[Conversation]:
        found = []
        for place in self.text:
            for file in files_in(Path(place)):
                task = Task(file.stem, "", "en", file.stem, "text", (), settings={"path": file})
                rows = []
                for row in READERS["text"].read(task):
                    if isinstance(row, Record):
                        text = Message("user", str(row.fields["text"]))
                        rows.append(
                            Conversation((text,), id=f"{file.stem}/{row.id}", task=file.stem, source=row.source)
                        )
                    elif isinstance(row, SetAside):
                        aside.append(row)
                found += sorted(rows, key=lambda row: self._order(row.id))[: self.rows]
        return found

    def _in_words(self, task: Task, rows: Sequence[Conversation], shots: int) -> list[Conversation]:
        """Rows that are in words already; those that are shown stand before the question as turns."""
        some, pool = self._apart(task, rows)
        found = []
        for row in some:
            before = [m for other in self._shown(row, pool, shots) for m in other.messages if m.role != "system"]
            head = [m for m in row.messages if m.role == "system"]
            found.append(replace(row, messages=(*head, *before, *row.messages[len(head) :])) if before else row)
        return found

    def _of_task(
        self, task: Task, examples: Sequence[Example], shots: int, aside: list[SetAside]
    ) -> list[Conversation]:
        some, pool = self._apart(task, examples)
        rows = []
        for wording in self._wordings(task):
            for example in some:
                try:
                    rows.append(render(example, wording, task, self._shown(example, pool, shots)))
                except Unrenderable as error:
                    aside.append(SetAside(f"{example.id}@{wording.id}", str(error), example.source))
        return rows

    def _apart(self, task: Task, rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
        """Rows that are asked, and rows that are shown: the last in the drawn order, so that no number of examples
        changes what is asked."""
        most = max(self.shots)
        kept = len(rows) - most
        if rows and kept < 1:
            raise EvalError(f"{task.id} has {len(rows)} rows: too few to show {most} and to ask one. Lower shots.")
        some, pool = rows[: min(self.rows, kept)], rows[min(self.rows, kept) :]
        if self.examples == "same":
            given_away = {row.group for row in pool[:most] if row.group}
            some = [row for row in some if row.group not in given_away]
            if rows and not some:
                raise EvalError(f"{task.id}: every question is of the group of an example shown. Use examples: own")
        return some, pool

    def _wordings(self, task: Task) -> Sequence[Template]:
        offered = [template for template in task.templates if template.kind != "inverted"]
        return sorted(offered, key=lambda t: self._order(t.id))[: self.wordings] if self.wordings else offered

    def _shown(self, example: Row, pool: Sequence[Row], shots: int) -> Sequence[Row]:
        if self.examples == "same":
            return pool[:shots]
        # Nothing of the question's own group is shown: that would give the answer away.
        others = [other for other in pool if not other.group or other.group != example.group]
        return sorted(others, key=lambda other: self._order(f"{example.id}|{other.id}"))[:shots]

    def _order(self, id: str) -> bytes:
        return order(self.seed, id)


def suite_file(place: Path | str) -> tuple[Path, str]:
    """The file of a suite, and the folder of its data where one is named: a path, or a suite that is shipped."""
    if Path(place).is_file() or Path(place).suffix in (".yaml", ".yml"):
        return Path(place), ""
    name, _, folder = str(place).partition("@")
    if folder and not Path(folder).is_dir():
        raise EvalError(f"{place}: there is no folder {folder}; the suite {name!r} looks for its data in it.")
    return find_file(name, SHIPPED, "suite"), folder


def _place(folder: Path, name: str) -> str:
    """A path from the suite's folder; a name that is no path there stays what it is."""
    beside = folder / path_of(name)
    return str(beside) if beside.exists() or "/" in name or "." in name else name


def _to_think(row: Conversation) -> Conversation:
    """The question, with the wish to think before it is answered."""
    asked = row.prompt
    if not asked or asked[-1].role != "user":
        return row
    text = f"{asked[-1].content}\n\n{_THINK.get(row.language, _THINK_ENGLISH)}"
    return replace(row, messages=(*asked[:-1], replace(asked[-1], content=text), *row.messages[len(asked) :]))
