"""``tunesmith eval judge``: let a model say which of several models answers best."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tunesmith.core import screen


def judge(
    answers: Annotated[
        list[str],
        typer.Argument(help="Two or more: runs, evaluations, folders of `eval ask`; RUN#MODEL where several answered."),
    ],
    by: Annotated[str, typer.Option(help="The judge: a model's folder, hub:owner/model, or http://host/v1#model.")],
    limit: Annotated[int, typer.Option(help="Tokens that a verdict may take.", min=1)] = 1024,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of verdicts.")] = Path("runs/judged.json"),
) -> None:
    """Let a model judge whose answers are best, each answer once in each place.

    [bold]Examples[/]

        tunesmith eval judge runs/my runs/my#base --by http://localhost:8000/v1#judge
        tunesmith eval judge runs/asked#a runs/asked#b runs/asked#c --by runs/judge
    """
    from tunesmith.api.respondents import opened
    from tunesmith.ask.cache import Cache
    from tunesmith.evals.compare.changes import answers_of
    from tunesmith.evals.judges.judge import judge as judge_all
    from tunesmith.evals.judges.judge import matches_of
    from tunesmith.evals.records import strict

    sides = [answers_of(place) for place in answers]
    matches = matches_of(*sides)
    one = opened(by, Cache(out.with_suffix(".sqlite")))
    with screen.progress(f"{one.name} judges") as tell:
        found = judge_all(one.who, matches, limit=limit, progress=tell)
    names = [side[0].model for side in sides]
    value = {"judge": one.place, "models": names, **asdict(found), "ids": [match.id for match in matches]}
    out.write_text(strict(value, indent=1) + "\n", encoding="utf-8")
    console = screen.console()
    long = f"; were both as long, {100 * found.length_controlled:.1f}" if found.length_controlled is not None else ""
    others = f"to {names[1]}" if len(names) == 2 else f"of {len(names)}"
    for name, rate in zip(names, found.rates[: 1 if len(names) == 2 else None], strict=False):
        console.print(
            f"{name} is preferred {others} in [bold]{100 * rate.value:.1f}[/] of 100 "
            f"({100 * rate.low:.1f} to {100 * rate.high:.1f}, {rate.n} questions){long}",
            highlight=False,
        )
    console.print(
        f"The judge changed its mind with the order in {100 * found.swayed:.0f} of 100; {found.unread} of "
        f"{found.asked} verdicts could not be read and count as no preference.",
        highlight=False,
    )
    if found.failed:
        console.print(f"{len(found.failed):,} matches failed and are not counted; the same command asks again.")
    if used := one.used():
        console.print(f"[dim]{used}[/]")
