"""``tunesmith data detect | lint | leaks``: what a file is, what is wrong with tasks, what training rows give away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.data.look import Tasks, load
from tunesmith.core import screen
from tunesmith.core.errors import DataError, counted


def detect(
    files: Annotated[list[Path], typer.Argument(help="Data files, folders of `save_to_disk`, or hub:NAME.")],
) -> None:
    """Say which reader a file is for, and by what that was seen.

    [bold]Examples[/]

        tunesmith data detect chats.jsonl.gz
    """
    from tunesmith.data.load.detect import detect as look

    problems = []
    for file in files:
        try:
            found = look(file)
        except DataError as error:
            problems.append(str(error))
            continue
        typer.echo(f"{file}: reader {found.reader}, language {found.language}")
        for line in found.evidence:
            typer.echo(f"  {line}")
    if problems:
        raise DataError("\n".join(problems))


def lint(
    places: Tasks = None,
    fail: Annotated[bool, typer.Option("--fail", help="End with exit code 1 if anything looks wrong.")] = False,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the findings there as well.")] = None,
) -> None:
    """Look for faults of tasks and templates that no error shows.

    An answer that stands in its prompt, fields that are missing or unused, templates that say the same or nothing,
    options without the right answer, one label only, one input with two outputs, definitions that name other labels.

    [bold]Examples[/]

        tunesmith data lint --tasks my_tasks/
        tunesmith data lint --tasks my_tasks/ --fail        [dim]for CI[/]
    """
    from dataclasses import asdict

    from tunesmith.data.load.lint import lint as look
    from tunesmith.data.load.lint import table

    tasks = load(places)
    findings = look(tasks)
    if as_json is not None:
        rows = [{**asdict(finding), "source": str(finding.source)} for finding in findings]
        as_json.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(findings))
    typer.echo(f"Looked at {counted(len(tasks), 'task')}.")
    if findings and fail:
        raise typer.Exit(1)


def leaks(
    train: Annotated[
        list[Path], typer.Argument(help="Training rows: builds, or files in any form that a reader knows.")
    ],
    against: Annotated[
        list[Path], typer.Option("--against", "-a", help="Evaluation sets: files, or folders of files.")
    ],
    ngrams: Annotated[
        list[int] | None, typer.Option("--ngram", help="Words in a row that must not be the same.")
    ] = None,
    near: Annotated[float, typer.Option("--near", help="The share of equal words that makes a question known.")] = 0.85,
    pairs: Annotated[int, typer.Option("--pairs", help="How many of the worst pairs to show of each kind.")] = 3,
    fail_over: Annotated[
        float | None, typer.Option("--fail-over", help="Exit code 1 if more than this share of a set leaks. For CI.")
    ] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="What counts for --fail-over: source, exact, near, 13-gram ...")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the whole report there as well.")] = None,
) -> None:
    """Find training rows that give away items of evaluation sets.

    The same question, nearly the same, the same row of a file, or many words in a row; each with the text that matches.
    To take such rows away, say so in the recipe of a build: `clean: {leaks: {sets: [...]}}`.

    [bold]Examples[/]

        tunesmith data leaks chats.jsonl --against gsm8k_test.jsonl --against mt_bench.jsonl
        tunesmith data leaks runs/my/build --against tests/ --fail-over 0.01
    """
    from tunesmith.data.leaks.audit import Audit
    from tunesmith.data.leaks.audit import fail_over as check
    from tunesmith.data.leaks.sources import evaluation_sets, training_items

    audit = Audit(evaluation_sets(against), ngrams=ngrams or (8, 13), near=near)
    with screen.progress("looking at rows") as tell:
        for number, item in enumerate(training_items(train), 1):
            audit.look(item)
            if number % 100 == 0:
                tell(number, None)
    report = audit.report()
    if as_json is not None:
        as_json.write_text(json.dumps(report.to_json(), ensure_ascii=False), encoding="utf-8")
    typer.echo(report.table(pairs))
    if fail_over is not None:
        check(report, fail_over, kinds or ())
