"""``tunesmith ablate``: run a recipe at several points with several seeds, and say what made the difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.language import Lang
from tunesmith.core import screen

if TYPE_CHECKING:
    from rich.table import Table

    from tunesmith.evals.compare.ablation import Found


def ablate(
    ablation: Annotated[str, typer.Argument(help="A YAML file, or a built-in one; without it, they are listed.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Only so many of its seeds.", min=1)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The output folder. Default: runs/<name>.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the file, say what would run, and stop.")] = False,
    lang: Lang = None,
) -> None:
    """Find out what makes the difference: a recipe at several points, each with several seeds.

    What points share is trained once for each seed. An ablation that was stopped goes on, and points or seeds that are
    added later cost only themselves.

    [bold]Examples[/]

        tunesmith ablate                         [dim]the built-in ones[/]
        tunesmith ablate clusters                [dim]do more clusters of tasks carry further?[/]
        tunesmith ablate my.yaml --seeds 2       [dim]a first look[/]
    """
    from rich.table import Table

    from tunesmith.pipeline import run as runner
    from tunesmith.pipeline.ablation import Ablation, built_in, place, run

    console = screen.console()
    if not ablation:
        table = Table("name", "question", box=None)
        for known in built_in():
            table.add_row(known.name, known.question)
        console.print(table)
        return
    plan = Ablation.load(ablation)
    plan = plan.model_copy(update={"seeds": plan.seeds[:seeds]})
    folder = out or Path("runs") / plan.ablation
    console.print(f"[bold]{plan.ablation}[/] {plan.question}", highlight=False)
    if check:
        table = Table("seed", "stages", "to run", box=None)
        for seed in plan.seeds:
            made = plan.recipe_of(seed)
            states = runner.outlook(made, folder=place(folder, made))
            left = [row.id for row in states if not row.state.startswith("done")]
            table.add_row(str(seed), str(len(states)), ", ".join(left) or "nothing")
        console.print(table)
        return
    found = run(plan, folder, console)
    console.print(_table([one for one in found if one.level == plan.level] or found, plan.against))
    console.print(f"Page: {folder / 'ablation.html'}", highlight=False)


def _table(found: Sequence[Found], against: str) -> Table:
    from rich.table import Table

    table = Table("point", "rate", "each seed", "wordings: median, quartiles", f"than {against}", "p", "", box=None)
    for one in found:
        d = one.difference
        table.add_row(
            one.point,
            f"{100 * one.rate.value:.1f} [dim]{100 * one.rate.low:.0f} to {100 * one.rate.high:.0f}[/]",
            "[dim]" + " ".join(f"{100 * x:.0f}" for x in one.each) + "[/]",
            f"{100 * one.median:.0f}, {100 * one.lower:.0f} to {100 * one.upper:.0f}",
            f"{100 * d.value:+.1f} [dim]{100 * d.low:+.1f} to {100 * d.high:+.1f}[/]" if d else "",
            f"{one.p:.2g}" if d else "",
            one.finding,
        )
    return table
