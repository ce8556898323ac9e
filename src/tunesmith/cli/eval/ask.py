"""``tunesmith eval ask``: ask any models a suite of questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tunesmith.errors import EvalError

if TYPE_CHECKING:
    from tunesmith.evals.records import Record


def ask(
    suite: Annotated[Path, typer.Argument(help="A YAML file: which tasks, how many rows, wordings, examples.")],
    models: Annotated[
        list[str],
        typer.Argument(
            help="Runs, model folders, models of the hub (hub:owner/model), servers (http://host/v1#model)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for answers.jsonl and figures.json.")] = Path(
        "runs/eval"
    ),
    chat: Annotated[str | None, typer.Option(help="Chat format for models that bring none: chatml, zephyr ...")] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="One question at a time: slow, the same to the last bit.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask also what was answered before.")] = False,
    price: Annotated[
        str, typer.Option(help="Of a million tokens read and written, to see what a server costs.", metavar="IN/OUT")
    ] = "",
) -> None:
    """Ask models the same questions, count, and compare each with the first.

    [bold]Examples[/]

        tunesmith eval ask reading.yaml runs/quickstart
        tunesmith eval ask reading.yaml hub:Qwen/Qwen3-0.6B runs/my --out runs/compared
        tunesmith eval ask reading.yaml http://localhost:8000/v1#qwen#tokenizer=models/qwen
        tunesmith eval diff runs/compared runs/compared --before-model Qwen3-0.6B --after-model my
    """
    from tunesmith.cli.respondents import name_of, opened
    from tunesmith.evals.ask import ask as ask_model
    from tunesmith.evals.cache import Cache
    from tunesmith.evals.records import ANSWERS, write_records
    from tunesmith.evals.suite import Suite

    orders, prices = Suite.load(suite), _prices(price)
    names = [name_of(model) for model in models]
    if len(set(names)) < len(names):
        raise EvalError(f"Two of the models have the same name: {', '.join(names)}.")
    asked = orders.questions()
    console = Console()
    if asked.set_aside:
        console.print(f"[dim]{len(asked.set_aside):,} rows set aside, {asked.set_aside[0].reason} for one[/]")
    records: list[Record] = []
    places: dict[str, str] = {}
    cache = Cache(out / "answers.sqlite")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for model in models:
            one = opened(model, cache, chat=chat, alone=alone, again=again)
            places[one.name] = one.place
            if orders.how.rank and not one.who.ranks:
                console.print(f"[dim]{one.name}: options are not ranked; #tokenizer=FOLDER would do it[/]")
            for shots, rows in asked.questions.items():
                bar = progress.add_task(f"{one.name}, {shots} examples shown", total=len(rows))

                def tell(done: int, of: int, bar: object = bar) -> None:
                    progress.update(bar, completed=done, total=of)  # type: ignore[arg-type]

                records += ask_model(
                    one.who, {"asked": rows}, name=one.name, shots=shots, how=orders.how, progress=tell
                )
            if used := one.used(prices):
                console.print(f"[dim]{used}[/]")
    write_records(out / ANSWERS, records)
    table, figures = _figures(records, list(places))
    about = {"suite": orders.model_dump(), "models": places}
    (out / "figures.json").write_text(json.dumps({**about, "figures": figures}, ensure_ascii=False, indent=1) + "\n")
    console.print(table)
    console.print(f"Every answer: {out / 'answers.jsonl'}")


def _prices(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        read, written = map(float, text.split("/"))
    except ValueError:
        raise EvalError(f"--price {text}: wanted two prices of a million tokens, as in 0.15/0.60") from None
    return read, written


def _figures(records: Sequence[Record], models: Sequence[str]) -> tuple[Table, list[dict[str, object]]]:
    """A line for each task, metric and model: the rate, how much wordings matter, how far it is from the first
    model."""
    from tunesmith.evals.changes import changes
    from tunesmith.evals.records import over_wordings, rate

    table = Table(
        "task",
        "metric",
        "model",
        "rate",
        "worst and best wording",
        f"than {models[0]}" if len(models) > 1 else "",
        box=None,
    )
    figures: list[dict[str, object]] = []
    kinds = dict.fromkeys((r.task, r.shots, r.metric) for r in records)
    for task, shots, metric in kinds:
        first: list[Record] = []
        for model in models:
            mine = [r for r in records if (r.task, r.shots, r.metric, r.model) == (task, shots, metric, model)]
            first = first or mine
            got, spread = rate(mine), over_wordings(mine)
            line: dict[str, object] = {"task": task, "shots": shots, "metric": metric, "model": model, **asdict(got)}
            line["wordings"] = asdict(spread)
            than = ""
            if mine is not first:
                (change,) = changes(first, mine)
                d = change.difference
                line["difference"] = {**asdict(d), "detectable": change.detectable}
                than = f"{100 * d.value:+.1f} [dim]{100 * d.low:+.1f} to {100 * d.high:+.1f}[/]"
            figures.append(line)
            table.add_row(
                task, metric + (f", {shots} examples" if shots else ""), model,
                f"{100 * got.value:.1f} [dim]{100 * got.low:.1f} to {100 * got.high:.1f}, {got.n} asked[/]",
                f"{100 * spread.worst:.1f} to {100 * spread.best:.1f}" if spread.wordings > 1 else "", than,
            )  # fmt: skip
    return table, figures
