"""How long it takes to read and compile all templates that there are, and how fast rows are put into words.

    python benchmarks/templates.py [--repeats 3]

Read and compiled: promptsource's 279 files, 240 tasks of Super-NaturalInstructions, and the tasks that the package
carries (the little world's, and those over fourteen labelled sets and FLAN's chains of thought). Put into words, in one
process: every row of the labelled sets and of the 240 tasks in every wording that its task has. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tunesmith.data import Task, load_tasks, read
from tunesmith.data.tasks import promptsource
from tunesmith.data.tasks.render import render
from tunesmith.data.tasks.template import Unrenderable, compiled
from tunesmith.littleworld import task_files

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    data = ROOT.parent / "shared" / "data"
    if not data.exists():
        raise SystemExit(f"{data} not found: this benchmark needs the files of promptsource and the sets.")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("promptsource_templates", "superni_tasks", "labelled"):
            with tarfile.open(data / f"{name}.tar.gz") as archive:
                archive.extractall(place / name, filter="data")
        seconds, rates = [], []
        for _ in range(args.repeats):
            began = time.perf_counter()
            tasks, borrowed = definitions(place, data)
            seconds.append(time.perf_counter() - began)
            asked = [task for task in tasks if task.reader in ("labelled", "superni")]
            rows, spent = put_into_words(asked)
            rates.append(rows / spent)
            compiled.cache_clear()
            promptsource._compiled.cache_clear()
            print(f"  definitions {seconds[-1]:.2f} s, {rates[-1]:,.0f} rows/s")
    result = {
        "tasks": len(tasks),
        "templates": sum(len(task.templates) for task in tasks) + borrowed,
        "of_promptsource": borrowed,
        "seconds": round(statistics.median(seconds), 2),
        "rows": rows,
        "rows_per_second": round(statistics.median(rates)),
    }
    print(json.dumps(result))


def definitions(place: Path, data: Path) -> tuple[list[Task], int]:
    """All tasks, and how many templates of promptsource; every template is compiled."""
    borrowed = sum(len(promptsource.load(file)) for file in sorted(place.rglob("templates.yaml")))
    superni = sorted((place / "superni_tasks").rglob("*.json"))
    labelled = next((place / "labelled").rglob("RTE.json")).parent
    tasks = load_tasks([*task_files(), *superni, f"labelled@{labelled}", f"reasoning@{data / 'flan_cot'}"])
    for task in tasks:
        for template in task.templates:
            for turn in template.messages:
                compiled(turn.text)
    return tasks, borrowed


def put_into_words(tasks: list[Task]) -> tuple[int, float]:
    """How many rows in words, and how long that took."""
    found = read(tasks)
    began = time.perf_counter()
    rows = 0
    for task in tasks:
        for template in task.templates:
            for example in found.examples[task.id]:
                try:
                    render(example, template, task)
                except Unrenderable:
                    continue
                rows += 1
    return rows, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
