"""``tunesmith data tasks | templates | sample``: look at tasks, templates and rows before training on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.core import screen
from tunesmith.core.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from tunesmith.core.types import Conversation, SetAside
    from tunesmith.data.tasks.task import Task

Tasks = Annotated[
    list[Path] | None, typer.Option("--tasks", "-t", help="Task files or folders of them. Default: the little world.")
]
TaskId = Annotated[str, typer.Argument(help="The task's id, such as capital.en.", metavar="TASK")]
Format = Annotated[str, typer.Option("--format", "-f", help="How the task is put: instruction, name or none.")]


def load(places: list[Path] | None) -> list[Task]:
    """The tasks of the places named, or the little world's."""
    from tunesmith.stages.build import load_tasks_of

    return load_tasks_of([str(place) for place in places or ("littleworld",)])


def tasks(
    places: Tasks = None,
    cluster: Annotated[str | None, typer.Option("--cluster", "-c", help="Only the tasks of this cluster.")] = None,
) -> None:
    """List the tasks, by cluster.

    [bold]Examples[/]

        tunesmith data tasks
        tunesmith data tasks --cluster geography
        tunesmith data tasks --tasks my_tasks/      [dim]check your own task files[/]
    """
    from rich.table import Table

    from tunesmith.core.errors import UnknownName
    from tunesmith.data.load.examples import read
    from tunesmith.data.load.preview import task_lines

    found = load(places)
    clusters = {task.cluster for task in found}
    if cluster is not None and cluster not in clusters:
        raise UnknownName("Cluster", cluster, clusters)
    shown = [task for task in found if cluster in (None, task.cluster)]
    table = Table("cluster", "task", "rows", "templates", "of kinds", "metric", box=None, pad_edge=False)
    rows = read(shown)
    for line in task_lines(shown, rows):
        kinds = ", ".join(line.kinds) or "in words already"
        table.add_row(line.cluster, line.id, str(line.rows), str(line.templates or "-"), kinds, line.metric)
    console = screen.console()
    console.print(table)
    typer.echo(f"{counted(len(shown), 'task')} in {counted(len({task.cluster for task in shown}), 'cluster')}.")
    _print_aside(rows.set_aside, console)


def templates(task: TaskId, places: Tasks = None, format: Format = "instruction") -> None:
    """Show the templates of a task, each with a row that it puts into words.

    [bold]Examples[/]

        tunesmith data templates capital.en
        tunesmith data templates capital.en --format name
    """

    from tunesmith.data.load.examples import read
    from tunesmith.data.load.preview import template_lines
    from tunesmith.data.load.tasks import find_task

    found = find_task(load(places), task)
    console = screen.console()
    if not found.templates:
        console.print(
            f"The rows of {found.id} are in words already: see tunesmith data sample {found.id}", markup=False
        )
        return
    for line in template_lines(found, read([found]), format):
        console.print(f"[bold]{line.id}[/] [dim]{line.kind}, {line.source}[/]")
        for role, source in line.turns:
            console.print(f"  {role}: {source}", style="dim", markup=False)
        _print(line.sample, console)


def sample(
    task: TaskId,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many rows.")] = 3,
    template: Annotated[str | None, typer.Option("--template", help="Only in this wording.")] = None,
    format: Format = "instruction",
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other rows.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", help="Write them as a page instead.")] = None,
    places: Tasks = None,
) -> None:
    """Put rows of a task into words, as the model will see them.

    [bold]Examples[/]

        tunesmith data sample capital.en
        tunesmith data sample capital.zh --template flight -n 5
        tunesmith data sample capital.en --format name
        tunesmith data sample capital.en -n 50 --html rows.html
    """

    from tunesmith.core.types import SetAside
    from tunesmith.data.load.examples import read
    from tunesmith.data.load.preview import page, sample_rows
    from tunesmith.data.load.tasks import find_task

    found = find_task(load(places), task)
    rows = read([found])
    console = screen.console()
    drawn = sample_rows(found, rows, count=number, format=format, template=template, seed=seed)
    if html is not None:
        html.write_text(page(found, drawn), encoding="utf-8")
        console.print(f"{counted(len(drawn), 'row')} in {html}", markup=False)
    for row in drawn if html is None else ():
        console.print(row.row if isinstance(row, SetAside) else row.id, style="bold", markup=False)
        _print(row, console)
    _print_aside(rows.set_aside, console)


def _print_aside(rows: Sequence[SetAside], console: Console, most: int = 10) -> None:
    """The rows that cannot be used, each with its place and reason."""
    if not rows:
        return
    console.print(f"{counted(len(rows), 'row')} set aside:", style="yellow")
    for row in rows[:most]:
        console.print(f"  {row.source or row.row}: {row.reason}", style="yellow", markup=False)
    if len(rows) > most:
        console.print(f"  ... and {len(rows) - most} more", style="yellow")


def _print(row: Conversation | SetAside, console: Console) -> None:
    from tunesmith.core.types import SetAside

    if isinstance(row, SetAside):
        console.print(f"  set aside: {row.reason}", style="yellow", markup=False)
        return
    for message in row.messages:
        style = "green" if message is row.messages[-1] else None
        content = message.content.replace("\n", "\n    ")
        console.print(f"  {message.role}: {content}", style=style, markup=False)
    if row.options:
        console.print(f"  options: {' | '.join(row.options)}", style="dim", markup=False)
