"""Ask models the same questions, and read the results as a table.

found = evaluate("suite.yaml", ["runs/mine", "hub:Qwen/Qwen3-0.6B"], "runs/asked")
found.table()                       a polars or pandas table if one is installed, else a list of dictionaries
results("runs/quickstart").table()  the same of a run that is there already
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from tunesmith.api.checked import checked
from tunesmith.api.data import Data
from tunesmith.api.model import Model, Talk, conversation_of
from tunesmith.api.respondents import Asked as Opened
from tunesmith.api.respondents import check_apart, name_of, opened
from tunesmith.ask.cache import Cache
from tunesmith.ask.server import Server
from tunesmith.core.document import path_of
from tunesmith.core.errors import EvalError, UnknownName
from tunesmith.core.types import Conversation, Score
from tunesmith.evals import evaluation
from tunesmith.evals.asking.suite import Asked, Suite
from tunesmith.evals.metrics import METRICS
from tunesmith.evals.records import Comparison, Record, answers_in, compare, scores
from tunesmith.stages.build import load_tasks_of

Questions = str | Path | Suite | Data | Mapping[str, Sequence[Conversation]] | Iterable[Talk]
"""A suite or its file, a build (what it holds out), rows by level, or rows."""
Models = Model | str | Path | Sequence[Model | str | Path] | Mapping[str, Model | str | Path]
Table = Literal["auto", "polars", "pandas", "rows"]
_LIBRARIES = ("polars", "pandas")


@dataclass(frozen=True, slots=True)
class Results:
    """Every answer of an evaluation, and the figures made of them."""

    records: list[Record]
    """One answer to one question by one metric."""

    def scores(self) -> list[Score]:
        """The rate of each model, level and metric, with its 95 % interval."""
        return scores(self.records)

    def compare(self, before: str, after: str) -> list[Comparison]:
        """Two models on the same questions, with the paired difference and its interval."""
        return compare(self.records, before, after)

    def table(self, of: Literal["scores", "answers"] = "scores", as_: Table = "auto") -> Any:
        """Scores or answers as a table: of polars or pandas, whichever is installed, else a list of dictionaries."""
        if of not in ("scores", "answers"):
            raise UnknownName("Table", of, ("scores", "answers"))
        rows = [asdict(row) for row in (self.scores() if of == "scores" else self.records)]
        return as_table(rows, as_)


def as_table(rows: list[dict[str, Any]], as_: Table = "auto") -> Any:
    """Rows as a table of the library that is asked for, or the first that is installed."""
    if as_ not in ("auto", "rows", *_LIBRARIES):
        raise UnknownName("Kind of table", as_, ("auto", "rows", *_LIBRARIES))
    if as_ == "auto":
        as_ = next((name for name in ("polars", "pandas") if find_spec(name)), "rows")
    if as_ == "rows":
        return rows
    if not find_spec(as_):
        raise EvalError(f'{as_} is not installed. Install it: pip install {as_}; or take plain rows: table(as_="rows")')
    if as_ == "polars":
        import polars

        return polars.DataFrame(rows, infer_schema_length=None)
    import pandas

    return pandas.DataFrame(rows)


def results(place: str | Path) -> Results:
    """The answers in a run's folder, the folder of an evaluation, or a file of answers."""
    return Results(answers_in(path_of(place)))


def evaluate(
    questions: Questions, models: Models, out: str | Path, *, metric: str | None = None, **settings: Any
) -> Results:
    """Ask every model the same questions, and write every answer to ``out``.

    ``metric`` scores all answers by one metric, which may be one that was registered with ``metric``; by default each
    question's own task names it. ``settings`` are those of a suite: ``max_new_tokens``, ``temperature``,
    ``samples`` and so on. Answers are cached in ``out``.
    """
    if metric is not None:
        METRICS[metric]
    folder = path_of(out)
    suite, asked, level = _questions(questions, settings)
    if metric is not None:
        asked = replace(
            asked, questions={n: [replace(row, metric=metric) for row in rows] for n, rows in asked.questions.items()}
        )
    folder.mkdir(parents=True, exist_ok=True)
    each = _each(_named(models), Cache(folder / "answers.sqlite"))
    found = evaluation.evaluate(suite, asked, each, folder, level=lambda row: level.get(row.id, "asked"))
    return Results(found.records)


def _questions(given: Questions, settings: Mapping[str, Any]) -> tuple[Suite, Asked, dict[str, str]]:
    """The suite, its questions, and the level of each question whose level is known."""
    if isinstance(given, str | Path | Suite):
        suite = given if isinstance(given, Suite) else Suite.load(path_of(given))
        if settings:
            suite = checked(Suite, {**suite.model_dump(), **settings}, "evaluate()")
        return suite, suite.questions(load_tasks_of), {}
    level: dict[str, str] = {}
    if isinstance(given, Data):
        given = {str(name): rows for name, rows in given.held_out.items()}
    if isinstance(given, Mapping):
        level = {row.id: name for name, rows in given.items() for row in rows}
        rows = [row for many in given.values() for row in many]
    else:
        rows = [conversation_of(talk) for talk in given]
    if not rows:
        raise EvalError("evaluate(): there is no question to ask.")
    suite = checked(Suite, {"suite": "rows", **settings}, "evaluate()")
    return suite, Asked({0: [_asked(row, n) for n, row in enumerate(rows, 1)]}, (), ()), level


def _asked(row: Conversation, number: int) -> Conversation:
    """A row with an id and a right answer, which is the last message where none is given."""
    last = row.messages[-1] if row.messages else None
    given = (last.content,) if last is not None and last.role == "assistant" else ()
    return replace(row, id=row.id or f"row {number}", answers=row.answers or given)


def _named(models: Models) -> dict[str, Model | str]:
    """Who is asked, by name."""
    if isinstance(models, Mapping):
        return {name: one if isinstance(one, Model) else str(one) for name, one in models.items()}
    given = [models] if isinstance(models, Model | str | Path) else list(models)
    found: dict[str, Model | str] = {}
    for one in given:
        name = one.name if isinstance(one, Model) else name_of(str(one))
        if name in found:
            raise EvalError(f'evaluate(): two models are called {name!r}. Give names: {{"base": ..., "tuned": ...}}')
        found[name] = one if isinstance(one, Model) else str(one)
    if not found:
        raise EvalError("evaluate(): no model is given.")
    return found


def _each(models: Mapping[str, Model | str], cache: Cache) -> Iterator[evaluation.Model]:
    """One after the other, so that one model at a time is in memory."""
    seen: list[Opened] = []
    for name, one in models.items():
        asked = one.asked if isinstance(one, Model) else opened(one, cache)
        if isinstance(asked.who, Server):
            seen.append(asked)
            check_apart(seen)
        yield evaluation.Model(name, asked.place, asked.who, asked.trained_on)
        del asked  # before the next is opened
