"""``tunesmith train``: run a recipe as far as its models."""

from __future__ import annotations

from typing import Annotated

import typer

from tunesmith.cli.run import Again, Out, RecipeArg, Seed, Set, start


def train(
    recipe: RecipeArg,
    stage: Annotated[
        str | None, typer.Argument(help="One training stage; default: the one that the recipe is for (`result`).")
    ] = None,
    again: Again = None,
    set: Set = None,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Run a recipe as far as its model, and not the evaluation.

    [bold]Examples[/]

        tunesmith train my.yaml               [dim]all that the final model needs[/]
        tunesmith train my.yaml pretrain      [dim]one stage, with what it reads[/]
        tunesmith train my.yaml --set tune.train.lr=1e-4
    """
    from tunesmith.cli.run import overrides
    from tunesmith.core.errors import RecipeError
    from tunesmith.pipeline import recipe as recipes
    from tunesmith.stages.ranks import leads

    loaded = recipes.load(recipe, overrides(set, seed))
    wanted = stage or loaded.result
    if not wanted:
        raise RecipeError(f"{loaded.file} has no training stage. Run all of it with: tunesmith run {recipe}")
    folder = start(recipe, only=[wanted], again=again, set=set, seed=seed, out=out)
    if leads():
        typer.echo(f"The model: {folder / wanted}\nTalk to it: tunesmith chat {folder / wanted}")
