"""``tunesmith data build | card | explain | export``: make rows, and ask what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.data.look import load
from tunesmith.cli.language import Lang
from tunesmith.core import screen
from tunesmith.core.errors import DataError, counted
from tunesmith.core.whole import whole

if TYPE_CHECKING:
    from tunesmith.data.clean import Cleaning

Folder = Annotated[Path, typer.Argument(help="The folder of a build.", metavar="BUILD")]
Format = Annotated[str | None, typer.Option("--format", "-f", help="instruction, name or none; the first there is.")]


def build(
    places: Annotated[list[Path], typer.Argument(help="Data files, task files, or folders of them.", metavar="FILES")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    held_out: Annotated[Path | None, typer.Option("--held-out", help="A YAML file that says what is held out.")] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option("--clean", "-c", help="A step of cleaning to switch on, such as near; no-unicode: off."),
    ] = None,
    per_level: Annotated[int, typer.Option("--per-level", min=1, help="Questions drawn of each level.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other questions.")] = 1,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Processes. Default: all cores.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="local, or ray for many machines; the result is the same.")
    ] = "local",
    fill: Annotated[
        list[str] | None,
        typer.Option(
            "--fill", help="What stands in a placeholder of the data: name=Ada for {{name}}.", metavar="NAME=TEXT"
        ),
    ] = None,
    lang: Lang = None,
) -> None:
    """Turn data into conversations to train on, with what is held out taken away first.

    Parquet that datasets, polars and DuckDB open, a proof of the split, and a data card. A build that was killed goes
    on where it was. All settings of cleaning are in a recipe: stages: {data: {kind: build, clean: {...}}}.

    [bold]Examples[/]

        tunesmith data build chats.jsonl.gz --out data/chats
        tunesmith data build my_tasks/ chats.jsonl -o data/mix --held-out held_out.yaml -c near -c private
        tunesmith data build identity.json -o data/identity --fill name=Ada --fill author="our lab"
    """
    import os

    from tunesmith.data.builds.build import build_to
    from tunesmith.data.builds.datacard import write
    from tunesmith.data.builds.held_out import HeldOut
    from tunesmith.data.load.tasks import with_fill

    tasks = with_fill(load(places), _fill(fill or []))
    wish = HeldOut.load(held_out) if held_out else HeldOut()
    cleaning = _cleaning(clean or [])
    out.mkdir(parents=True, exist_ok=True)
    with screen.progress("build") as tell:
        summary = build_to(
            out,
            tasks,
            wish,
            seed=seed,
            per_level=per_level,
            cleaning=cleaning,
            engine=engine,
            workers=workers or os.cpu_count() or 1,
            progress=lambda what, done, total: tell(done, total, what),
        )
    typer.echo(summary.ledger.table())
    for what, changed in summary.changed.items():
        typer.echo(f"  {changed:>8}  changed: {what}")
    for note in summary.notes:
        typer.echo(f"note: {note}")
    total = sum(summary.seconds.values())
    spent = sorted(summary.seconds.items(), key=lambda item: -item[1])
    typer.echo("time: " + ", ".join(f"{name} {s / total:.0%}" for name, s in spent if s / total >= 0.01))
    typer.echo(f"{counted(summary.counts['train'], 'row')} to train on in {out}; read first: {write(out)}")


def _fill(given: list[str]) -> dict[str, str]:
    wrong = [one for one in given if not one.partition("=")[0].strip() or "=" not in one]
    if wrong:
        raise DataError(f"--fill {wrong[0]!r}: wanted a name and what stands for it, as in: --fill name=Ada")
    return {one.partition("=")[0].strip().strip("{} "): one.partition("=")[2] for one in given}


def _cleaning(switches: list[str]) -> Cleaning:
    from pydantic import ValidationError

    from tunesmith.core.errors import near
    from tunesmith.data.clean import Cleaning

    try:
        return Cleaning.model_validate({name.removeprefix("no-"): not name.startswith("no-") for name in switches})
    except ValidationError as error:
        names = [str(problem["loc"][0]) for problem in error.errors()]
        known = list(Cleaning.model_fields)
        told = "; ".join(f"there is no step {name!r}{near(name, known)}" for name in names)
        raise DataError(f"--clean: {told}\nSteps: {', '.join(known)}.") from None


def card(folder: Folder, format: Format = None, lang: Lang = None) -> None:
    """Write the data card of a build again: Markdown and a page."""
    from tunesmith.data.builds.datacard import write

    typer.echo(str(write(folder, format)))


def explain(
    row: Annotated[str, typer.Argument(help="A row's id, its example's id, or file:line.", metavar="ROW")],
    folder: Folder,
    format: Format = None,
) -> None:
    """Say where a row came from and what became of it.

    [bold]Examples[/]

        tunesmith data explain chats.jsonl:12 data/chats
        tunesmith data explain capital.en/france runs/quickstart/build
    """
    from tunesmith.data.builds.explain import explain as look

    typer.echo("\n\n".join(found.text() for found in look(folder, row, format)))


def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, JSON lines.")],
    to: Annotated[
        str, typer.Option("--to", help="messages (TRL, Axolotl, OpenAI), sharegpt (LLaMA-Factory) or alpaca.")
    ] = "messages",
    format: Format = None,
) -> None:
    """Write the training rows of a build for another trainer.

    What the form cannot hold is told: rows that are left out, and what others lose, here and in <OUT>.report.json.

    [bold]Examples[/]

        tunesmith data export data/chats --to sharegpt -o chats.jsonl
    """
    import json
    from collections import Counter

    from tunesmith.core.types import SetAside
    from tunesmith.data.builds import manifest
    from tunesmith.data.builds.ledger import by_reason
    from tunesmith.data.builds.paths import train_files
    from tunesmith.data.store import conversations
    from tunesmith.data.writers import WRITERS, written

    WRITERS[to]
    about = manifest.load(folder, format)
    files = train_files(folder, str(about["format"]))
    aside: list[SetAside] = []
    lost: Counter[str] = Counter()
    count = 0
    with whole(out) as part, part.open("w", encoding="utf-8") as file:
        for line in written(conversations(*files), to):
            if isinstance(line, SetAside):
                aside.append(line)
            else:
                count += 1
                lost.update(line.lost)
                file.write(line.text + "\n")
    left_out = by_reason(aside)
    if about["comparisons"]:
        left_out["is a comparison, which this export does not write"] = int(about["comparisons"])
    report = out.with_name(out.name + ".report.json")
    value = {"form": to, "rows": count, "left_out": left_out, "lost": dict(lost)}
    report.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{counted(count, 'row')} in {out}")
    for reason, number in left_out.items():
        typer.echo(f"{counted(number, 'row')} left out: {reason}")
    for what, number in lost.items():
        typer.echo(f"{counted(number, 'row')} without their {what}: the form {to} cannot hold them")
