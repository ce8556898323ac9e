"""``tunesmith eval figures``: figures of many answers together, from answers that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tunesmith.core import screen

if TYPE_CHECKING:
    from tunesmith.evals.corpus.figures import Figure


def figures(
    answers: Annotated[Path, typer.Argument(help="A run, its evaluation, a folder of `eval ask`, a file of answers.")],
    figure: Annotated[
        list[str],
        typer.Option("--figure", "-f", help="pass@K, f1, calibration, brier, bleu or chrf. May be repeated."),
    ],
    json_: Annotated[bool, typer.Option("--json", help="As JSON lines.")] = False,
) -> None:
    """Count what many answers show together: pass@k, F1, calibration, BLEU, chrF, each with its interval.

    [bold]Examples[/]

        tunesmith eval figures runs/asked -f pass@1 -f pass@10    [dim]a suite with samples: 10[/]
        tunesmith eval figures runs/my -f calibration -f f1
    """
    from tunesmith.evals.corpus.figures import figures_of
    from tunesmith.evals.records import answers_in, strict

    found = figures_of(answers_in(answers), figure)
    if json_:
        for one in found:
            typer.echo(strict(asdict(one)))
        return
    screen.console().print(table_of(found))


def table_of(found: Sequence[Figure]) -> Table:
    """A line for each."""
    table = Table("figure", "task", "of", "model", "value", box=None)
    for one in found:
        scale = 100 / one.most
        of = [one.metric, one.level if one.level != "asked" else "", f"{one.shots} examples" if one.shots else ""]
        table.add_row(
            one.name, one.task or "all tasks", ", ".join(filter(None, of)), one.model,
            f"{scale * one.value:.1f} [dim]{scale * one.low:.1f} to {scale * one.high:.1f}, {one.n} questions[/]",
        )  # fmt: skip
    return table
