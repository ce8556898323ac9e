"""``tunesmith eval ask``: ask any models a suite of questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunesmith.cli.eval.figures import table_of
from tunesmith.core import screen
from tunesmith.core.errors import EvalError, counted, nearest

if TYPE_CHECKING:
    from tunesmith.evals.asking.ask import Failure
    from tunesmith.evals.compare.style import Style
    from tunesmith.evals.compare.summary import Line
    from tunesmith.evals.evaluation import Evaluation
    from tunesmith.evals.statistics.intervals import Interval


def ask(
    suite: Annotated[Path, typer.Argument(help="A YAML file of what is asked, or gsm8k, mmlu, arc@FOLDER ...")],
    models: Annotated[
        list[str],
        typer.Argument(
            help="Runs, model folders, models of the hub (hub:owner/model), servers (http://host/v1#model)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for answers.jsonl and figures.json.")] = Path(
        "runs/eval"
    ),
    chat: Annotated[
        str | None, typer.Option(help="Chat format: plain (the default for bases without one), chatml, zephyr ...")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="One question at a time: slow, the same to the last bit.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask also what was answered before.")] = False,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            help="What a model was trained on, for the leak audit: NAME=PATH, or PATH for all. May be repeated; a run "
            "knows its own."
        ),
    ] = None,
    price: Annotated[
        str, typer.Option(help="Of a million tokens read and written, to see what a server costs.", metavar="IN/OUT")
    ] = "",
    at_once: Annotated[int, typer.Option(help="Requests that a server gets at once.", min=1, max=4096)] = 32,
    timeout: Annotated[float, typer.Option(help="Seconds that a server may take for a question.", min=1)] = 600.0,
) -> None:
    """Ask models the same questions, count, and compare each with the first.

    [bold]Examples[/]

        tunesmith eval ask gsm8k@data/ runs/my         [dim]a shipped suite over a copy; without @: over the hub[/]
        tunesmith eval ask reading.yaml hub:Qwen/Qwen3-0.6B runs/my --out runs/compared
        tunesmith eval ask reading.yaml http://localhost:8000/v1#qwen#tokenizer=models/qwen
        tunesmith eval diff runs/compared#Qwen3-0.6B runs/compared#my
    """
    from tunesmith.api.respondents import check_apart, is_server, name_of, opened
    from tunesmith.ask.cache import Cache
    from tunesmith.evals.asking.suite import Suite
    from tunesmith.evals.evaluation import Model, evaluate
    from tunesmith.stages.build import load_tasks_of

    orders, prices = Suite.load(suite), _prices(price)
    names = _apart([name_of(model) for model in models])
    questions = orders.questions(load_tasks_of)
    given = [_named(text, names) for text in trained_on or ()]
    console = screen.console()
    cache = Cache(out / "answers.sqlite")
    used: list[str] = []
    how: dict[str, Any] = {"chat": chat, "alone": alone, "again": again, "at_once": at_once, "timeout": timeout}
    servers = {place: opened(place, cache, **how) for place in models if is_server(place)}
    check_apart(list(servers.values()))

    def each() -> Iterator[Model]:
        """One after the other, so that one model at a time is in memory."""
        for place in models:
            one = servers.get(place) or opened(place, cache, **how)
            if orders.how.rank and not one.who.ranks:
                console.print(f"[dim]{one.name}: options are not ranked; #tokenizer=FOLDER would do it[/]")
            if one.note:
                console.print(f"[dim]{one.name}: {one.note}[/]")
            rows = [path for name, path in given if name in ("", one.name)] or one.trained_on
            yield Model(one.name, one.place, one.who, rows)
            used.append(one.used(prices))
            if unread := getattr(one.who, "too_long", ()):
                used.append(
                    f"{one.name}: {len(unread):,} questions are longer than it can read, {min(unread)} for one; "
                    "they count as not answered"
                )
            del one  # before the next is opened

    with screen.progress("asked") as told:
        found = evaluate(orders, questions, each(), out, lambda what, done, of: told(done, of, what))
    _show(console, found, names, used)
    console.print(f"Question by question: {out / 'answers.html'}", highlight=False)


def _show(console: Console, found: Evaluation, names: Sequence[str], used: Iterable[str]) -> None:
    """What came of it: rows that were not used, costs, failures, and the tables."""
    from tunesmith.data.builds.ledger import by_reason

    for reason, count in by_reason(found.set_aside).items():
        console.print(f"[dim]{counted(count, 'row')} set aside: {escape(reason)}[/]")
    for line in filter(None, used):
        console.print(f"[dim]{escape(line)}[/]", highlight=False)
    for line in _failed(found.failures):
        console.print(f"[yellow]{escape(line)}[/]", highlight=False)
    console.print(_table(found.lines, names))
    if found.together:
        console.print(table_of(found.together))
    for name in names:
        said = (
            f"{len(found.leaks[name]):,} questions leak" if name in found.leaks else "its training rows are not known"
        )
        console.print(f"[dim]{name}: {said}[/]", highlight=False)
    if found.styles:
        console.print("\nForm and knowledge, of 100 answers:")
        console.print(_styles(found.styles))


def _apart(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise EvalError(f"Two of the models have the same name: {', '.join(names)}. Write NAME=MODEL.")
    return names


def _failed(failures: Sequence[Failure]) -> list[str]:
    """What each model did not get to answer, and why, in a line."""
    by: dict[str, list[Failure]] = {}
    for one in failures:
        by.setdefault(one.model, []).append(one)
    return [
        f"{name}: {counted(len(many), 'question')} failed, {many[0].id} for one: {many[0].reason}. "
        "No figure counts them; the same command asks them again"
        for name, many in by.items()
    ]


def _named(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Of which model a path tells; "" for all."""
    name, equals, path = text.partition("=")
    if not equals:
        return "", text
    if name not in names:
        close = nearest(name, names)
        raise EvalError(
            f"--trained-on {text}: no model {name!r} is asked." + (f" Did you mean {close!r}?" if close else "")
        )
    return name, path


def _prices(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        read, written = map(float, text.split("/"))
    except ValueError:
        raise EvalError(f"--price {text}: wanted two prices of a million tokens, as in 0.15/0.60") from None
    return read, written


def _table(lines: Sequence[Line], models: Sequence[str]) -> Table:
    """A line for each task, metric and model."""
    from tunesmith.evals.records import LESS_IS_BETTER

    audited = any(cell.leaked for line in lines for cell in line.cells)
    than = f"than {models[0]}" if len(models) > 1 else ""
    table = Table(
        "task", "metric", "model", "rate", "worst and best wording", *(["clean, leaked"] if audited else []), than,
        box=None,
    )  # fmt: skip
    for line in lines:
        for cell in line.cells:
            got, spread, d = cell.rate, cell.wordings, cell.difference
            scale = 1 if line.metric in LESS_IS_BETTER else 100
            apart = ""
            if d is not None:
                apart = f"{scale * d.value:+.1f} [dim]{scale * d.low:+.1f} to {scale * d.high:+.1f}, p {cell.p:.2g}[/]"
                if d.low <= 0 <= d.high:
                    apart += f" [dim](finds {scale * cell.detectable:.0f} or more)[/]"
            sides = [_side(cell.clean, scale) + ", " + _side(cell.leaked, scale)] if audited else []
            table.add_row(
                line.task or "all tasks", line.metric + (f", {line.shots} examples" if line.shots else ""), cell.model,
                f"{scale * got.value:.1f} [dim]{scale * got.low:.1f} to {scale * got.high:.1f}, {got.n} asked[/]",
                f"{scale * spread.worst:.1f} to {scale * spread.best:.1f}" if spread and spread.wordings > 1 else "",
                *sides, apart,
            )  # fmt: skip
    return table


def _side(got: Interval | None, scale: int) -> str:
    return f"{scale * got.value:.1f} [dim]of {got.n}[/]" if got else "[dim]none[/]"


def _styles(styles: Sequence[Style]) -> Table:
    from tunesmith.evals.compare.style import verdict

    table = Table("model", "in form", "knows", "both", "form only", "known only", "neither", "", box=None)
    for one in styles:
        shares = (one.in_form.value, one.knows.value, one.both, one.form_only, one.known_only, one.neither)
        table.add_row(one.model, *(f"{100 * share:.0f}" for share in shares), verdict(one))
    return table
