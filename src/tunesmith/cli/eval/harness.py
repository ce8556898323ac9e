"""``tunesmith eval harness``: the tasks of lm-evaluation-harness, asked by our engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tunesmith.cli.language import Lang
from tunesmith.core import screen
from tunesmith.core.errors import EvalError, nearest

if TYPE_CHECKING:
    from tunesmith.data.leaks.report import Leak
    from tunesmith.evals.records import Record


def harness(
    models: Annotated[list[str], typer.Argument(help="Runs, model folders, or models of the hub (hub:owner/model).")],
    task: Annotated[list[str], typer.Option("--task", "-t", help="A task of the harness. May be repeated.")],
    include: Annotated[list[Path] | None, typer.Option(help="A folder with task files of your own.")] = None,
    shots: Annotated[int | None, typer.Option(help="Answered examples before each question.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many questions of each task.", min=1)] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask in the model's chat template.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results and answers.")] = Path("runs/harness"),
    lang: Lang = None,
) -> None:
    """Ask models the tasks of lm-evaluation-harness: their rules, their figures, our engine.

    [bold]Examples[/]

        tunesmith eval harness runs/quickstart --task my_task --include my_tasks/
        tunesmith eval harness hub:Qwen/Qwen3-0.6B runs/my --task hellaswag --task gsm8k --limit 200
    """
    tasks = _tasks(task, include or ())
    import lm_eval

    from tunesmith.api.folders import open_folder
    from tunesmith.api.respondents import name_and_place, name_of
    from tunesmith.core.types import Conversation, Message
    from tunesmith.data.leaks.sources import training_items
    from tunesmith.evals.harness.model import HarnessModel
    from tunesmith.evals.harness.results import records_of
    from tunesmith.evals.leaked import leaks_into, marked, write_leaks
    from tunesmith.evals.records import ANSWERS, write_records
    from tunesmith.evals.viewer import write_viewer
    from tunesmith.stages import hub

    records: list[Record] = []
    leaks: dict[str, dict[str, Leak]] = {}
    table = Table("task", "metric", *map(name_of, models), box=None)
    figures: dict[tuple[str, str], list[str]] = {}
    for model in models:
        opened, name = open_folder(hub.place(name_and_place(model)[1])), name_of(model)
        with screen.progress(name) as tell:
            results = lm_eval.simple_evaluate(
                model=HarnessModel.open(opened.folder, tell),
                tasks=list(task),
                num_fewshot=shots,
                limit=limit,
                apply_chat_template=chat,
                task_manager=tasks,
            )
        _write(out / name, results)
        mine = records_of(results, name)
        if opened.trained_on:
            asked = {r.id: Conversation((Message("user", r.prompt),), id=r.id) for r in mine}
            leaks[name] = leaks_into(asked.values(), training_items(opened.trained_on))
            mine = marked(mine, asked.values(), leaks[name])
        records += mine
        for one, found in results["results"].items():
            for metric, value in found.items():
                if isinstance(value, float) and "_stderr" not in metric:
                    error = found.get(metric.replace(",", "_stderr,", 1))
                    shown = f" [dim]± {error:.4f}[/]" if isinstance(error, float) else ""
                    figures.setdefault((one, metric), []).append(f"{value:.4f}{shown}")
    write_records(out / ANSWERS, records)
    write_leaks(out / "leaks.jsonl", leaks)
    write_viewer(out / "answers.html", ", ".join(task), records, leaks=leaks)
    for (one, metric), values in figures.items():
        table.add_row(one, metric, *values)
    console = screen.console()
    console.print(table)
    for name, found in leaks.items():
        console.print(f"[dim]{name}: {len(found):,} questions leak[/]", highlight=False)
    console.print(
        f"In the harness's shape: {out}/MODEL/results.json. Question by question: {out / 'answers.html'}",
        highlight=False,
    )


def _tasks(wanted: Sequence[str], include: Sequence[Path]) -> Any:
    """The harness's tasks, with those of our own folders; all that are wanted are there."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise EvalError("This needs lm-evaluation-harness: pip install 'tunesmith[harness]'") from None
    own = [str(folder) for folder in include]
    tasks = TaskManager(include_path=own or None, include_defaults=not own)
    if not set(wanted) <= set(tasks.all_tasks):  # reading the thousands of theirs takes some seconds
        tasks = TaskManager(include_path=own or None)
    for name in wanted:
        if name not in tasks.all_tasks:
            close = nearest(name, tasks.all_tasks)
            raise EvalError(f"The harness has no task {name!r}." + (f" Did you mean {close!r}?" if close else ""))
    return tasks


def _write(folder: Path, results: dict[str, Any]) -> None:
    from lm_eval.utils import handle_non_serializable

    folder.mkdir(parents=True, exist_ok=True)
    value = {key: part for key, part in results.items() if key != "samples"}
    text = json.dumps(value, default=handle_non_serializable, ensure_ascii=False, indent=2)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    for task, samples in results["samples"].items():
        lines = (json.dumps(one, default=handle_non_serializable, ensure_ascii=False) for one in samples)
        (folder / f"samples_{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
