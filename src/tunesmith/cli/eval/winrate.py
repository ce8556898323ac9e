"""``tunesmith eval winrate``: the length-controlled win rates of AlpacaEval's annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tunesmith.core import screen

if TYPE_CHECKING:
    from tunesmith.evals.judges.annotations import Annotations, Reference

ENOUGH = 10
"""Models from which the difficulty of instructions can be fitted."""


def winrate(
    annotations: Annotated[
        list[Path], typer.Argument(help="Files of annotations (AlpacaEval's annotations.json), one for each model.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(help="AlpacaEval's df_gamed.csv: difficulties of instructions, and gamed annotations."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON line for each model.")] = False,
) -> None:
    """Win rates of models against a baseline, as they are and at equal lengths of answers (AlpacaEval 2).

    With AlpacaEval's df_gamed.csv the computation is the one behind its published table. Without it, the difficulty of
    instructions is fitted from ten models or more, and annotations of models named BASELINE_concise and
    BASELINE_verbose stand for the gamed ones.

    [bold]Examples[/]

        tunesmith eval winrate annotations.json --reference df_gamed.csv
        tunesmith eval winrate results/*/annotations.json
    """
    from tunesmith.evals.judges.annotations import read_annotations, read_reference
    from tunesmith.evals.records import strict

    sides = [read_annotations(path) for path in annotations]
    lines, how = lines_of(sides, read_reference(reference) if reference else None)
    if json_:
        for line in lines:
            typer.echo(strict(line))
        return
    table = Table("model", "win rate", "95 % interval", "at equal lengths", "questions", box=None)
    for line in lines:
        low, high = line["interval"]
        table.add_row(
            line["model"], f"{line['win_rate']:.2f}", f"{low:.1f} to {high:.1f}",
            f"{line['length_controlled']:.2f}", str(line["questions"]),
        )  # fmt: skip
    console = screen.console()
    console.print(table)
    console.print(how)
    unread = sum(side.unread for side in sides)
    if unread:
        console.print(f"{unread} annotations without a preference were left out.")


def lines_of(sides: list[Annotations], reference: Reference | None) -> tuple[list[dict[str, Any]], str]:
    """A line for each model, and what the figures at equal lengths are based on."""
    from tunesmith.evals.judges.length_controlled import controlled, difficulties, gamed_from
    from tunesmith.evals.statistics.intervals import interval

    gamed_names = {f"{side.baseline}_{how}" for side in sides for how in ("concise", "verbose")}
    theirs = [side.rows for side in sides if side.model in gamed_names]
    fitted = None
    if reference is None and len(sides) >= ENOUGH:
        others = {f"{i} {side.model}": side.rows for i, side in enumerate(sides) if side.model != side.baseline}
        fitted = difficulties(others)
    gamed = reference.gamed if reference else gamed_from(theirs, fitted) if len(theirs) == 2 else None
    lines = []
    for side in sides:
        rate = interval([row.preferred for row in side.rows], [row.instruction for row in side.rows])
        known = reference.by_instruction(side) if reference else fitted
        one = controlled(side.rows, known, gamed)
        same = side.model == side.baseline
        lines.append(
            {
                "model": side.model, "baseline": side.baseline, "win_rate": 100 * rate.value,
                "interval": [100 * rate.low, 100 * rate.high],
                "length_controlled": 50.0 if same else 100 * one.rate,
                "standard_error": 0.0 if same else 100 * one.error,
                "weights": {"length": one.length, "difficulty": one.difficulty, "model": one.model},
                "questions": len(side.rows), "unread": side.unread,
            }
        )  # fmt: skip
    hard = "AlpacaEval's file" if reference else f"fitted from these {len(sides)} models" if fitted else "not known"
    games = "AlpacaEval's file" if reference else "among the models" if gamed else "none"
    how = f"Difficulty of instructions: {hard}. Gamed annotations: {games}."
    if gamed is None:
        how += " A model whose answers are all very short or very long can gain by that: give --reference df_gamed.csv."
    return lines, how
