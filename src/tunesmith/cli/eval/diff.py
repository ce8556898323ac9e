"""``tunesmith eval diff``: what changed from one evaluation to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tunesmith.ask.safe import printable
from tunesmith.core import screen
from tunesmith.core.errors import EvalError

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.evals.compare.changes import Change
    from tunesmith.evals.records import Record


def diff(
    before: Annotated[
        str, typer.Argument(help="A run, its evaluation stage, or a file of answers; RUN#MODEL where several answered.")
    ],
    after: Annotated[str, typer.Argument(help="Another, or another model of the same.")],
    level: Annotated[str | None, typer.Option(help="One level only: seen, wording, instance, task or cluster.")] = None,
    limit: Annotated[int, typer.Option(help="Questions shown of each kind.", min=0)] = 5,
    json_: Annotated[bool, typer.Option("--json", help="All changed questions as JSON lines.")] = False,
) -> None:
    """See question by question what changed from one evaluation to another.

    [bold]Examples[/]

        tunesmith eval diff runs/old runs/new
        tunesmith eval diff runs/my#base runs/my          [dim]what tuning changed[/]
    """
    from tunesmith.evals.compare.changes import answers_of, changes
    from tunesmith.evals.records import strict

    found = [
        change for change in changes(answers_of(before), answers_of(after)) if level is None or change.level == level
    ]
    if not found:
        raise EvalError(f"Nothing was asked of both at level {level!r}.")
    if json_:
        for change in found:
            for how, pairs in (("gained", change.gained), ("lost", change.lost)):
                for a, b in pairs:
                    typer.echo(strict(_line(how, a, b)))
        return
    console = screen.console()
    console.print(_table(found))
    for change in found:
        _show(console, change, limit)


def _table(found: Sequence[Change]) -> Table:
    table = Table("level", "metric", "before", "after", "difference", "p", "gained", "lost", "reworded", box=None)
    for c in found:
        kind = (
            c.metric
            + (f", {c.shots} examples" if c.shots else "")
            + (f", {c.format}" if c.format != "instruction" else "")
        )
        d = c.difference
        apart = f"{100 * d.value:+.1f} [dim]{100 * d.low:+.1f} to {100 * d.high:+.1f}[/]"
        if d.low <= 0 <= d.high:
            apart += f" [dim](finds {100 * c.detectable:.0f} or more)[/]"
        table.add_row(
            c.level, kind, f"{100 * c.before.value:.1f}", f"{100 * c.after.value:.1f}", apart, f"{c.p:.2g}",
            str(len(c.gained)), str(len(c.lost)), str(c.reworded),
        )  # fmt: skip
    return table


def _show(console: Console, change: Change, limit: int) -> None:
    for how, colour, pairs in (("gained", "green", change.gained), ("lost", "red", change.lost)):
        for a, b in pairs[:limit]:
            console.print(f"\n[{colour}]{how}[/] [bold]{change.level}[/] {escape(a.id)} [dim]{change.metric}[/]")
            console.print(f"  {escape(_short(a.prompt, 300))}", highlight=False)
            console.print(f"  [dim]right [/] {escape(' | '.join(a.gold))}", highlight=False)
            console.print(f"  [dim]before[/] {escape(_short(a.answer))}", highlight=False)
            console.print(f"  [dim]after [/] {escape(_short(b.answer))}", highlight=False)
        if len(pairs) > limit:
            console.print(
                f"[dim]... {len(pairs) - limit:,} more {how} at {change.level}; --limit or --json shows them[/]"
            )
    if change.alone:
        console.print(f"[dim]{change.alone:,} questions at {change.level} were asked of one side only[/]")


def _short(text: str, most: int = 200) -> str:
    text = " ".join(printable(text).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def _line(how: str, a: Record, b: Record) -> dict[str, object]:
    return {
        "change": how, "id": a.id, "level": a.level, "format": a.format, "shots": a.shots, "metric": a.metric,
        "prompt": a.prompt, "gold": a.gold, "before": a.answer, "after": b.answer, "values": [a.value, b.value],
    }  # fmt: skip
