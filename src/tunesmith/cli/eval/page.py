"""``tunesmith eval page``: a page of the answers of any evaluations, side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.language import Lang
from tunesmith.core import screen


def page(
    answers: Annotated[list[Path], typer.Argument(help="Runs, evaluations, or files of answers; as many as you like.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("runs/answers.html"),
    lang: Lang = None,
) -> None:
    """Put the answers of any evaluations on one page, also those of the harness.

    A model that stands in several of them is called by its folder as well.

    [bold]Examples[/]

        tunesmith eval page runs/monday runs/tuesday
        tunesmith eval page runs/harness -o harness.html
    """

    from tunesmith.evals.asking.ask import Trace
    from tunesmith.evals.records import Record, answers_in
    from tunesmith.evals.viewer import write_viewer

    records: list[Record] = []
    traces: list[Trace] = []
    for path in answers:
        mine = answers_in(path)
        taken = {r.model for r in records} & {r.model for r in mine}
        names = {name: f"{name}, {path.name}" for name in taken}
        records += [replace(r, model=names.get(r.model, r.model)) for r in mine]
        tokens = path / "tokens.jsonl"
        for line in tokens.read_text(encoding="utf-8").splitlines() if tokens.is_file() else ():
            value = json.loads(line)
            told = Trace(**{**value, "prompt": tuple(value["prompt"]), "said": tuple(value["said"])})
            traces.append(replace(told, model=names.get(told.model, told.model)))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_viewer(out, ", ".join(path.name for path in answers), records, traces=traces)
    models = list(dict.fromkeys(r.model for r in records))
    screen.console().print(f"{len(records):,} answers of {', '.join(models)}: {out}", highlight=False)
