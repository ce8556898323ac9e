"""The ``curve`` stage: how far does a model generalise, for more and more of what it is trained on?

Clusters of tasks, or wordings of each task, are cut to ``points``; a model is tuned for each as the recipe's own
tuning stage does it, and asked about new clusters and tasks. A smaller point is part of a larger one. Finished points
are kept, so that a curve that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.stages import rows, training
from tunesmith.stages.build import Build, load_tasks_of
from tunesmith.stages.evaluate import NEW, open_model
from tunesmith.stages.sft import Sft, tune
from tunesmith.stages.stage import KINDS, From, Job, Stage

if TYPE_CHECKING:
    from tunesmith.data.build import Built

TITLES = {
    "clusters": ("More clusters of tasks", "clusters trained on"),
    "templates": ("More wordings of each task", "templates per task"),
}


@KINDS.add("curve")
class CurveStage(Stage):
    """Tune on more and more, and ask the same each time."""

    like: Annotated[str, From(("sft",))] = Field(description="The tuning stage whose settings and model are used.")
    vary: Literal["clusters", "templates"] = Field(description="What there is more and more of.")
    points: list[int] = Field(min_length=2, description="How many of them, for each model.")

    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "stages/training.py", "stages/sft.py", "evals", "data")

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.data.build import build

        like = job.stages[self.like]
        assert isinstance(like, Sft)
        stage = job.stages[like.data]
        assert isinstance(stage, Build)
        tasks, held_out = load_tasks_of(stage.tasks), stage.wish()
        points: list[dict[str, Any]] = []
        for count in self.points:
            folder = job.out / f"{self.vary}_{count}"
            done = folder / "point.json"
            if not done.exists():
                job.step(f"{count} {self.vary}")
                clusters = count if self.vary == "clusters" else None
                templates = count if self.vary == "templates" else None
                built = build(
                    tasks,
                    held_out,
                    seed=job.seed,
                    per_level=stage.per_level,
                    clusters=clusters,
                    templates_per_task=templates,
                    wordings=stage.wordings,
                    few_shot=stage.few_shot.wish() if stage.few_shot else None,
                    cleaning=stage.clean,
                )
                rows.write_json(done, self._point(job, like, built, count))
            points += json.loads(done.read_text(encoding="utf-8"))
        title, label = TITLES[self.vary]
        rows.write_json(job.out / "curve.json", {"title": title, "x_label": label, "points": points})
        return {"points": len(points)}

    def _point(self, job: Job, like: Sft, built: Built, count: int) -> list[dict[str, Any]]:
        from tunesmith.evals.ask import ask
        from tunesmith.evals.records import over_wordings, rate

        folder = job.out / f"{self.vary}_{count}"
        inputs = {name: job.folder(name) for name in (like.model, like.data)}
        part = Job(job.id, folder, job.seed, inputs, job.console, job.stages, job.history, job.calls)
        tune(like, part, [c for group in built.train.values() for c in group])
        model_dir = training.model_folder(folder)
        fmt, model = training.open_format(model_dir), open_model(folder)
        found: list[dict[str, Any]] = []
        for level in NEW:
            asked = [c for c in built.held_out[level] if c.metric == "exact_match"]
            if not asked:
                continue
            records = ask(model, fmt, {level: asked}, name=str(count), rank=False)
            spread = over_wordings(records)
            lower, upper, median = spread.lower, spread.upper, spread.median
            point = {"x": count, "rate": asdict(rate(records)), "level": level}
            found.append({**point, "lower": lower, "upper": upper, "median": median})
        return found
