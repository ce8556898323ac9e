"""``tunesmith run``: run the stages of a recipe that are not done yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli.language import Lang
from tunesmith.core import screen

# The same options mean the same for run, train, eval and quickstart.
RecipeArg = Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in one: quickstart.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The output folder. Default: runs/<name>.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Use this seed instead of the recipe's.")]
Again = Annotated[list[str] | None, typer.Option("--again", help="Run this stage even if it is done. May be repeated.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        help="Change a setting: [cyan]--set tune.train.steps=200[/]. May be repeated.",
        metavar="STAGE.KEY=VALUE",
    ),
]


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in one: quickstart.")] = "",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Run this stage and what it reads, nothing else. May be repeated."),
    ] = None,
    again: Again = None,
    set: Set = None,
    seed: Seed = None,
    out: Out = None,
    check: Annotated[bool, typer.Option("--check", help="Check the recipe, say what would run, and stop.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
    lang: Lang = None,
) -> None:
    """Run a recipe: every stage that is not done yet, in order.

    A recipe is a YAML file with stages. What a stage has written is kept under runs/<name>/<stage>, and the stage
    runs again only when its settings, its inputs, its data or its code change. A run that was stopped goes on.

    [bold]Examples[/]

        tunesmith run my.yaml                             [dim]run what is not done[/]
        tunesmith run my.yaml --check                     [dim]check it and say what would run[/]
        tunesmith run my.yaml --set tune.train.steps=400  [dim]try a setting[/]
        tunesmith run --schema > recipe.schema.json       [dim]completion in your editor[/]
    """
    if schema:
        import json

        from tunesmith.pipeline.recipe import schema as recipe_schema

        typer.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
        return
    if not recipe:
        from tunesmith.core.errors import RecipeError

        raise RecipeError("Which recipe? Give a file, or a built-in name: tunesmith run quickstart")
    if check:
        plan(recipe, set=set, seed=seed, out=out)
        return
    start(recipe, only=only, again=again, set=set, seed=seed, out=out)


def overrides(pairs: list[str] | None, seed: int | None) -> dict[str, Any]:
    """``["tune.train.steps=200"]`` as a dictionary; values are read as YAML."""
    from tunesmith.core.document import Document
    from tunesmith.core.errors import RecipeError

    out: dict[str, Any] = {} if seed is None else {"seed": seed}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {pair}: found no '=', wanted STAGE.KEY=VALUE, for example tune.train.steps=200")
        read = Document.read(value, f"--set {key.strip()}")
        out[key.strip()] = value if read.problems else read.value
    return out


def start(
    recipe: str,
    *,
    only: list[str] | None = None,
    kinds: tuple[str, ...] = (),
    again: list[str] | None = None,
    set: list[str] | None = None,
    seed: int | None = None,
    out: Path | None = None,
) -> Path:
    """Load, run, and say what came out; ``kinds`` asks for the stages of these kinds."""

    from tunesmith.core.errors import RecipeError
    from tunesmith.pipeline import recipe as recipes
    from tunesmith.pipeline import run as runner
    from tunesmith.stages.ranks import leads

    loaded = recipes.load(recipe, overrides(set, seed))
    if kinds and not only:
        only = [id for id, stage in loaded.stages.items() if stage.kind in kinds]
        if not only:
            wanted = " or ".join(kinds)
            raise RecipeError(
                f"{loaded.file} has no stage of kind {wanted}. Run all of it with: tunesmith run {recipe}"
            )
    console = screen.console(quiet=not leads())
    console.print(f"[bold]{loaded.name}[/] [dim]{loaded.file}, seed {loaded.seed}[/]", highlight=False)
    result = runner.run(loaded, folder=out, only=only, again=again or (), console=console)
    ran = [stage for stage in result.stages if not stage.reused]
    if ran:
        peak = max(stage.peak_mb for stage in ran)
        console.print(
            f"[bold green]All done[/] in {screen.clock(result.seconds)}: {len(ran)} of {len(result.stages)} stages "
            f"ran, peak memory {peak / 1024:.1f} GB. Output: {result.folder}",
            highlight=False,
        )
    else:
        console.print(f"[bold green]Nothing to do[/]: every stage is done. Output: {result.folder}", highlight=False)
    return result.folder


def plan(recipe: str, *, set: list[str] | None, seed: int | None, out: Path | None) -> None:
    """Check a recipe and say for each stage whether it is done, and if not why."""
    from rich.markup import escape
    from rich.table import Table

    from tunesmith.pipeline import recipe as recipes
    from tunesmith.pipeline import run as runner

    loaded = recipes.load(recipe, overrides(set, seed))
    table = Table("stage", "kind", "state", box=None, pad_edge=False)
    for row in runner.outlook(loaded, folder=out):
        table.add_row(row.id, loaded.stages[row.id].kind, row.state)
    notes = runner.foreseen(loaded, out)
    console = screen.console()
    console.print(f"[green]{loaded.file} is fine.[/]", highlight=False)
    console.print(table)
    for id, note in notes:
        console.print(f"{id}: {escape(note)}", style="dim", highlight=False)
