"""``tunesmith help``: what a setting of a recipe is, or what a verb does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.core import screen

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.pipeline.explain import Setting


def explain(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A setting (train.lr, or another trainer's learning_rate), a kind of stage, a verb.")
    ] = "",
) -> None:
    """Explain a setting: type, default, bounds, what it is for, and where it stands in a recipe.

    [bold]Examples[/]

        tunesmith help train.lr
        tunesmith help learning_rate      [dim]by another trainer's name[/]
        tunesmith help sft                [dim]all settings of a kind of stage[/]
        tunesmith help eval               [dim]a verb[/]
    """
    console = screen.console()
    from tunesmith.pipeline import explain as settings
    from tunesmith.stages.stage import KINDS

    root: Any = context.find_root()
    verbs: dict[str, Any] = root.command.commands
    if not name:
        typer.echo(root.get_help())
    elif name in KINDS and name not in verbs:
        _kind(console, name)
    elif name in verbs:
        typer.echo(verbs[name].get_help(typer.Context(verbs[name], info_name=name, parent=root)))
        if name in KINDS:
            console.print(f"The stage of kind {name}:\n")
            _kind(console, name)
    else:
        for number, one in enumerate(settings.explain(name)):
            if number:
                console.print()
            _show(console, one, translated=not number)


def _kind(console: Console, kind: str) -> None:
    """The settings of a kind of stage in a table."""
    from rich.markup import escape
    from rich.table import Table

    from tunesmith.pipeline.explain import of_kind

    table = Table("setting", "default", "what it is for", box=None, pad_edge=False)
    for one in of_kind(kind):
        table.add_row(one.way, escape(one.default) if len(one.default) <= 30 else "...", escape(one.description))
    console.print(table)


def _show(console: Console, one: Setting, translated: bool) -> None:
    from rich.markup import escape

    if one.note and translated:
        console.print(escape(one.note), highlight=False)
    where = f"of a stage of kind {' or '.join(one.kinds)}" if one.kinds else "at the top of a recipe"
    console.print(f"[bold]{escape(one.way)}[/] [dim]{where}[/]", highlight=False)
    console.print(f"  {escape(one.description)}", highlight=False)
    console.print(f"  type:    {escape(one.type)}{f' ({one.bounds})' if one.bounds else ''}", highlight=False)
    console.print(f"  default: {escape(one.default) or 'none; it has to be given'}", highlight=False)
    place = one.place.replace("\n", "\n    ")
    console.print(f"  in a recipe:\n    {escape(place)}", highlight=False)
    console.print(f"  on the command line: {escape(one.option)}", highlight=False)
