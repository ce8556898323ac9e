"""The command line: one file a verb, nothing heavy imported before a verb needs it.

    tunesmith quickstart | init | run | train | eval | ablate | data | recipe | show | chat | help | doctor

A verb reads its arguments, calls the package, prints; it computes nothing that a program could not have as well.
Errors leave through ``door``: one line and an exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from tunesmith import __version__
from tunesmith.cli import (
    ablate,
    chat,
    data,
    doctor,
    eval,
    explain,
    export,
    init,
    launch,
    quickstart,
    recipe,
    run,
    show,
    train,
)
from tunesmith.cli.door import pass_through
from tunesmith.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    name="tunesmith",
    help="From labelled data and a base language model to a model that follows instructions, "
    "with proof of how far it generalises.",
    epilog="Start with:  tunesmith quickstart   (some minutes on a laptop, nothing to download)",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error (works after any verb)."),
    plugin: list[str] = typer.Option(  # noqa: B008  (typer's way)
        [],
        "--plugin",
        metavar="MODULE|FILE.py",
        help="Load a plug-in with readers, metrics and the like. Before the verb; a recipe has `plugins:`.",
    ),
) -> None:
    if plugin:
        from tunesmith.core import plugins

        plugins.load(plugin)


app.command(rich_help_panel="Start here")(quickstart.quickstart)
app.command(rich_help_panel="Start here")(init.init)
app.command(name="help", rich_help_panel="Start here")(explain.explain)
app.command(rich_help_panel="Start here")(doctor.doctor)
app.add_typer(recipe.app, name="recipe", rich_help_panel="Recipes")
app.command(rich_help_panel="Recipes")(run.run)
app.command(rich_help_panel="Recipes")(train.train)
app.command(rich_help_panel="Recipes", context_settings={"ignore_unknown_options": True})(launch.launch)
app.add_typer(eval.app, name="eval", rich_help_panel="Recipes")
app.command(rich_help_panel="Recipes")(ablate.ablate)
app.command(rich_help_panel="Recipes")(export.export)
app.add_typer(data.app, name="data", rich_help_panel="Look")
app.command(rich_help_panel="Look")(show.show)
app.command(rich_help_panel="Look")(chat.chat)


def main(argv: Sequence[str] | None = None) -> None:
    """The ``tunesmith`` program."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    # The bars of other libraries ("Writing model shards") would stand between ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    sys.exit(pass_through(lambda: app(args, prog_name="tunesmith", standalone_mode=False), debug=debug))
