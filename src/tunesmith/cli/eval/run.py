"""``tunesmith eval run``, or ``tunesmith eval`` alone: run a recipe as far as its figures."""

from __future__ import annotations

import typer

from tunesmith.cli.language import Lang
from tunesmith.cli.quickstart import summary
from tunesmith.cli.run import Again, Out, RecipeArg, Seed, Set, start


def evaluate(
    recipe: RecipeArg, again: Again = None, set: Set = None, seed: Seed = None, out: Out = None, lang: Lang = None
) -> None:
    """Run a recipe's evaluation and report, and what they read.

    Models that are trained already are not trained again.

    [bold]Examples[/]

        tunesmith eval my.yaml
        tunesmith eval my.yaml --again eval          [dim]ask everything again[/]
    """
    folder = start(recipe, kinds=("eval", "report"), again=again, set=set, seed=seed, out=out)
    summary(folder)
    if (folder / "report.html").is_file():
        typer.echo(f"\nAll figures: {folder / 'report.html'}")
