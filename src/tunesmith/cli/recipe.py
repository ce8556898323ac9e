"""``tunesmith recipe``: the recipes that the package carries, and the memory that a recipe's training needs."""

from __future__ import annotations

from typing import Annotated

import typer

from tunesmith.cli.run import RecipeArg, Set, overrides
from tunesmith.cli.verbs import Verbs
from tunesmith.core import screen

app = typer.Typer(
    cls=Verbs,
    help="List and print the recipes that the package carries; compute the memory that a recipe needs.",
    no_args_is_help=True,
)


@app.command(name="list")
def list_recipes() -> None:
    """List the recipes that the package carries.

    [bold]Examples[/]

        tunesmith recipe list
        tunesmith recipe show quickstart > my.yaml
    """
    from rich.markup import escape
    from rich.table import Table

    from tunesmith.pipeline.recipe import BUILT_IN

    table = Table("recipe", "what it does", box=None, pad_edge=False)
    for file in sorted(BUILT_IN.glob("*.yaml")):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        table.add_row(file.stem, escape(first.lstrip("# ")))
    console = screen.console()
    console.print(table)
    console.print("\nPrint one with: tunesmith recipe show NAME > my.yaml", style="dim", highlight=False)


@app.command()
def show(recipe: Annotated[str, typer.Argument(help="The name of a recipe, as in the list; or a file.")]) -> None:
    """Print a recipe, to copy and change it.

    [bold]Examples[/]

        tunesmith recipe show qwen3-lora > my.yaml
    """
    from tunesmith.pipeline.recipe import find

    typer.echo(find(recipe).read_text(encoding="utf-8"), nl=False)


@app.command()
def memory(recipe: RecipeArg, set: Set = None) -> None:
    """Compute the memory for weights, gradients and optimizer of each training, without activations.

    The model is built on the meta device: nothing is loaded, and no memory is used. A base of the hub has to be in the
    table of known models (pipeline/known.yaml), or a folder.

    [bold]Examples[/]

        tunesmith recipe memory qwen3-lora
        tunesmith recipe memory qwen3-lora --set tune.train.adapter.rank=64
    """
    from rich.table import Table

    from tunesmith.pipeline import recipe as recipes
    from tunesmith.pipeline.memory import of_recipe

    loaded = recipes.load(recipe, overrides(set, None))
    table = Table("stage", "precision", "memory", "of it", box=None, pad_edge=False)
    for id, need in of_recipe(loaded).items():
        table.add_row(id, need.precision, f"{need.total / 1e9:.2f} GB", need.parts())
    console = screen.console()
    console.print(table)
    console.print("Activations come on top: see train.tokens_at_once, train.recompute.", style="dim", highlight=False)
