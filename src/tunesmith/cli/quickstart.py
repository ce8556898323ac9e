"""``tunesmith quickstart``: the built-in recipe, from nothing to a tuned and proven model."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from tunesmith.cli.language import Lang
from tunesmith.cli.run import Out, Seed, Set, start
from tunesmith.core import screen


def quickstart(set: Set = None, seed: Seed = None, out: Out = None, lang: Lang = None) -> None:
    """See the whole idea work: some minutes on a laptop, nothing to download.

    A tiny model learns to read and knows facts of a little world (pretrain). It is then tuned to follow instructions
    (sft), and asked about wordings, facts, tasks and whole clusters of tasks that it never trained on. The code is the
    same that trains a large model; the recipe is the one to copy.
    """
    folder = start("quickstart", set=set, seed=seed, out=out)
    summary(folder)
    typer.echo(
        f"""
Next
  open {folder / "report.html"}    all figures, sample answers, what was held out
  tunesmith chat {folder}          talk to the tuned model
  tunesmith show {folder}          see the tokens of an example, and which of them are learned
  cp {_recipe()} my.yaml; tunesmith run my.yaml --check
                                        make it yours: edit, run again, only what changed runs"""
    )


def _recipe() -> str:
    from tunesmith.pipeline.recipe import find

    here = Path("recipes/quickstart.yaml")
    return str(here if here.is_file() else find("quickstart"))


def summary(folder: Path) -> None:
    """The main figures of a report, base beside tuned."""
    from rich.table import Table

    from tunesmith.evals.records import LESS_IS_BETTER

    file = folder / "report.json"
    if not file.is_file():
        return
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in results:
        if row["format"] != "instruction" or row["shots"] != 0 or row["model"] not in ("base", "tuned"):
            continue
        less = row["metric"] in LESS_IS_BETTER
        figure = f"{row['value']:.3f} bits" if less else f"{100 * row['value']:.1f} %"
        rows.setdefault((row["level"], row["metric"]), {})[row["model"]] = figure
    table = Table("new to the tuned model", "measure", "base", "tuned", box=None, pad_edge=False)
    for (level, metric), values in rows.items():
        table.add_row(level, metric, values.get("base", ""), values.get("tuned", ""))
    console = screen.console()
    console.print()
    console.print(table)
