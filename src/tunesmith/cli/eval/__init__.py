"""``tunesmith eval``: a recipe's evaluation, a suite or the harness's tasks for any models; judging and comparing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from tunesmith.cli.eval import ask, diff, figures, harness, judge, page, run, winrate
from tunesmith.cli.verbs import Verbs
from tunesmith.core.errors import nearest


class _RunByDefault(Verbs):
    """``eval my.yaml`` is ``eval run my.yaml``. A word that is nearly a verb, and no file, is a slip."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            slip = nearest(args[0], self.commands, cutoff=0.65) and not Path(args[0]).exists()
            args = args if slip else ["run", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=_RunByDefault,
    help="Run a recipe's evaluation, ask any models a suite of questions or the harness's, judge, compare. "
    "[dim]eval my.yaml is eval run my.yaml.[/]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command(name="run")(run.evaluate)
app.command(name="ask")(ask.ask)
app.command(name="diff")(diff.diff)
app.command(name="figures")(figures.figures)
app.command(name="page")(page.page)
app.command(name="judge")(judge.judge)
app.command(name="winrate")(winrate.winrate)
app.command(name="harness")(harness.harness)
