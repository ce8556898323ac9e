"""``tunesmith data``: look at data, check it, build it, and ask what became of it."""

from __future__ import annotations

import typer

from tunesmith.cli.data import build, check, look
from tunesmith.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    help="Look at tasks and rows, check them, build them, and ask what became of a row.",
    no_args_is_help=True,
)

app.command(rich_help_panel="Look")(look.tasks)
app.command(rich_help_panel="Look")(look.templates)
app.command(rich_help_panel="Look")(look.sample)
app.command(rich_help_panel="Check")(check.detect)
app.command(rich_help_panel="Check")(check.lint)
app.command(rich_help_panel="Check")(check.leaks)
app.command(rich_help_panel="Build")(build.build)
app.command(rich_help_panel="Build")(build.card)
app.command(rich_help_panel="Build")(build.explain)
app.command(rich_help_panel="Build")(build.export)
