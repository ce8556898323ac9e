"""``tunesmith data``: look at tasks, templates and rows before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tunesmith.data.task import Task

app = typer.Typer(help="Look at tasks, their templates, and rows as the model will see them.", no_args_is_help=True)

Tasks = Annotated[
    list[Path] | None, typer.Option("--tasks", "-t", help="Task files or folders of them. Default: the little world.")
]
TaskId = Annotated[str, typer.Argument(help="The task's id, such as capital.en.", metavar="TASK")]


def load(places: list[Path] | None) -> list[Task]:
    """The tasks of the places named, or the little world's."""
    from tunesmith.stages.build import load_tasks_of

    return load_tasks_of([str(place) for place in places or ("littleworld",)])


@app.command()
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
    from rich.console import Console
    from rich.table import Table

    from tunesmith.errors import UnknownName

    found = load(places)
    clusters = {task.cluster for task in found}
    if cluster is not None and cluster not in clusters:
        raise UnknownName("Cluster", cluster, clusters)
    shown = [task for task in found if cluster in (None, task.cluster)]
    table = Table("cluster", "task", "templates", "metric", box=None, pad_edge=False)
    for task in sorted(shown, key=lambda task: (task.cluster, task.id)):
        table.add_row(task.cluster, task.id, str(len(task.templates)), task.metric)
    Console().print(table)
    typer.echo(f"{len(shown)} tasks in {len({task.cluster for task in shown})} clusters.")


@app.command()
def templates(task: TaskId, places: Tasks = None) -> None:
    """Show the templates of a task.

    [bold]Example[/]

        tunesmith data templates capital.en
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tunesmith.data.task import find_task

    found = find_task(load(places), task)
    table = Table("template", "kind", "words", box=None, pad_edge=False)
    for template in found.templates:
        words = "\n".join(f"{turn.role}: {turn.text}" for turn in template.messages)
        table.add_row(template.name, template.kind, Text(words))
    Console().print(table)


@app.command()
def sample(
    task: TaskId,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many rows.")] = 3,
    template: Annotated[str | None, typer.Option("--template", help="Only this template. Default: in turn.")] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="instruction, name or none.")] = "instruction",
    shots: Annotated[int, typer.Option("--shots", min=0, help="So many answered examples before the question.")] = 0,
    places: Tasks = None,
) -> None:
    """Put rows of a task into words, as the model will see them.

    [bold]Examples[/]

        tunesmith data sample capital.en
        tunesmith data sample capital.zh --template what_is --shots 2
        tunesmith data sample capital.en --format name
    """
    from rich.console import Console

    from tunesmith.data.examples import read
    from tunesmith.data.task import find_task
    from tunesmith.data.template import Unrenderable, render, wordings

    found = find_task(load(places), task)
    examples = read([found]).examples[found.id]
    words = (found.template(template),) if template else wordings(found, format)
    console = Console(highlight=False)
    for i, example in enumerate(examples[:number]):
        before = [other for other in examples if other.group != example.group][:shots]
        try:
            conversation = render(example, words[i % len(words)], found, before)
        except Unrenderable as error:
            console.print(f"{example.id}: {error}", style="yellow", markup=False)
            continue
        console.print(conversation.id, style="bold", markup=False)
        for message in conversation.messages:
            style = "green" if message is conversation.messages[-1] else None
            console.print(f"  {message.role}: {message.content}", style=style, markup=False)
        if conversation.options:
            console.print(f"  options: {' | '.join(conversation.options)}", style="dim", markup=False)
