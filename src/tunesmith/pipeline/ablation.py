"""An ablation: a recipe run at several points, each with several seeds, to see what makes the difference.

    ablation: clusters                      the output goes to runs/clusters
    question: Do more clusters of tasks carry further?
    recipe: small                           a file beside this one, or a built-in recipe
    points:
      1: {build.clusters: 1}                what is set at each point; numbers make a curve
      4: {build.clusters: 4}
      all: {}
    against: 1                              the point that all others are compared with

``recipe_of`` makes one recipe of all points: stages that a point's settings touch, and all that read them, are there
once for each point (``tune--clusters-4``), the others once for all. Its stages stand in ``runs/<recipe>/seed_<n>``, so
what points share, also those of several ablations, is trained once for each seed; and finished points are not run
again, also when points are added later.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from rich.console import Console

from tunesmith.core.document import Document, shipped, written
from tunesmith.core.errors import RecipeError, near
from tunesmith.core.settings import MOST_SEED, Settings, Shots, find_file, load
from tunesmith.core.types import Level
from tunesmith.evals.compare.ablation import Found, Pair, findings, write_page
from tunesmith.evals.records import Record, answers_in, strict
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as runner
from tunesmith.pipeline.recipe import Recipe
from tunesmith.stages.stage import KINDS

BUILT_IN = recipe.BUILT_IN / "ablations"
"""The ablations that the package carries: ``tunesmith ablate clusters``."""


def _texts(value: Any) -> Any:
    """Names may look like numbers: ``4: {...}``."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value


class Ablation(Settings):
    """What is varied. A key that is not here is an error."""

    ablation: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Names the output folder: runs/<name>.")
    question: str = Field(min_length=1, description="What is to be found out, for the page.")
    recipe: str = Field(description="A recipe file, from this file's folder, or the name of a built-in one.")
    points: Annotated[dict[str, dict[str, Any]], BeforeValidator(_texts)] = Field(
        min_length=2, description="Point -> settings of the recipe's stages, as in {tune.format: none}."
    )
    always: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the recipe's stages that hold at every point."
    )
    against: Annotated[str, BeforeValidator(str)] = Field(
        default="", description="The point that the others are compared with. Default: the first."
    )
    axis: str = Field(default="", description="What the numbers of the points count, for the plot.")
    level: Level = Field(default="cluster", description="The level that the verdict is about.")
    metric: str = Field(default="exact_match", description="The metric that it is about.")
    pair: Pair = Field(
        default="question", description="What points are compared on; example: each may ask it in other words."
    )
    shots: Shots | None = Field(default=None, description="The number of examples shown; left out, the fewest asked.")
    seeds: list[Annotated[int, Field(ge=0, le=MOST_SEED)]] = Field(
        default=[1, 2, 3, 4, 5], min_length=1, description="Each point is run with all of these."
    )

    @classmethod
    def load(cls, name: Path | str) -> Ablation:
        """Read and check a file, or a built-in one; the recipe is checked at each point."""
        path = find_file(str(name), BUILT_IN, "ablation")
        found = load(cls, path, "an ablation")
        beside = path.parent / found.recipe
        found = found.model_copy(
            update={"recipe": str(beside) if beside.is_file() else found.recipe, "against": found.first}
        )
        problems = []
        if found.against not in found.points:
            problems.append(f"against: there is no point {found.against!r}{near(found.against, list(found.points))}")
        if len({_slug(point) for point in found.points}) < len(found.points):
            problems.append("points: two names differ in signs alone")
        if len(set(found.seeds)) < len(found.seeds):
            problems.append(f"seeds: {found.seeds} names one twice")
        if problems:
            raise RecipeError("\n".join([f"{path}:", *problems]))
        for point, settings in found.points.items():
            try:
                recipe.load(found.recipe, found.always | settings)
            except RecipeError as error:
                raise RecipeError(f"{path}: point {point!r}: {error}") from None
        found.recipe_of(found.seeds[0])
        return found

    @property
    def first(self) -> str:
        """The point that the others are compared with."""
        return self.against or next(iter(self.points))

    @property
    def numeric(self) -> bool:
        """Whether all points are numbers; then they make a curve."""
        try:
            return bool([float(point) for point in self.points])
        except ValueError:
            return False

    def recipe_of(self, seed: int) -> Recipe:
        """One recipe of all points, up to what asks the models."""
        value: dict[str, Any] = Document.open(recipe.find(self.recipe)).value
        stages: dict[str, dict[str, Any]] = value["stages"]
        asking = [id for id, stage in stages.items() if stage["kind"] == "eval"]
        if len(asking) != 1:
            raise RecipeError(
                f"{self.recipe} has {len(asking)} stages of kind eval; an ablation needs one, to measure by."
            )
        references = {id: list(_references(stage)) for id, stage in stages.items()}
        needed = recipe.needed({id: [name for _, name in found] for id, found in references.items()}, asking)
        made: dict[str, dict[str, Any]] = {}
        for point, settings in self.points.items():
            endings: dict[str, str] = {}  # of the stages that are not as the recipe has them
            for id in needed:
                moved = [(where, name) for where, name in references[id] if name in endings]
                stage = copy.deepcopy(stages[id])
                for where, name in moved:
                    _put(stage, where, name + endings[name])
                common, own = _of(id, self.always), _of(id, settings)
                for where, new in (common | own).items():
                    _put(stage, where, copy.deepcopy(new))
                if own or any(endings[name] == self._ending(point) for _, name in moved):
                    endings[id] = self._ending(point)
                elif common or moved:
                    endings[id] = self._ending()
                made.setdefault(id + endings.get(id, ""), stage)
        whole = {"name": value["name"], "seed": seed, "plugins": value.get("plugins", []), "stages": made}
        return recipe.parse(written(whole), f"{self.ablation}, all points")

    def _ending(self, point: str | None = None) -> str:
        """What is added to the name of a stage that is of one point, or of all points of this ablation."""
        return f"--{_slug(self.ablation)}" + ("" if point is None else f"-{_slug(point)}")

    def answers(self, recipe: Recipe) -> dict[str, str]:
        """Point -> the stage of a recipe of all points that asks its model."""
        asking = [id for id, stage in recipe.stages.items() if stage.kind == "eval"]
        common = next((id for id in asking if id.endswith(self._ending()) or "--" not in id), "")
        found = {p: next((id for id in asking if id.endswith(self._ending(p))), common) for p in self.points}
        assert all(found.values())
        return found


def place(folder: Path, made: Recipe) -> Path:
    """Where the stages of a recipe of all points stand; ablations of the same recipe share them."""
    return folder.parent / made.name / f"seed_{made.seed}"


def run(plan: Ablation, folder: Path, console: Console) -> list[Found]:
    """Run what is not done yet, and say what was found: ``ablation.json`` and ``ablation.html`` in a folder."""
    answers: dict[str, dict[int, list[Record]]] = {point: {} for point in plan.points}
    for number, seed in enumerate(plan.seeds, 1):
        console.print(f"\n[bold]seed {seed}[/], {number} of {len(plan.seeds)}", highlight=False)
        made = plan.recipe_of(seed)
        runner.run(made, folder=place(folder, made), console=console)
        for point, stage in plan.answers(made).items():
            answers[point][seed] = answers_in(place(folder, made) / stage)
    found = findings(answers, against=plan.against, metric=plan.metric, shots=plan.shots, pair=plan.pair)
    figures = {**plan.model_dump(mode="json"), "found": [asdict(one) for one in found]}
    folder.mkdir(parents=True, exist_ok=True)
    text = strict(figures, indent=1) + "\n"
    (folder / "ablation.json").write_text(text, encoding="utf-8")
    write_page(folder, plan.question, found, plan.against, plan.axis if plan.numeric else "", len(plan.seeds))
    return found


@dataclass(frozen=True)
class _Known:
    """An ablation that the package carries."""

    name: str
    question: str


def built_in() -> list[_Known]:
    """The ablations that the package carries."""
    files = sorted(BUILT_IN.glob("*.yaml"))
    return [_Known(file.stem, shipped(file)["question"]) for file in files]


def _slug(point: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", point)


def _of(id: str, settings: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The settings of one stage, by their place in it."""
    return {tuple(key.split(".")[1:]): new for key, new in settings.items() if key.partition(".")[0] == id}


def _references(stage: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    return ((where, name) for where, name, _ in recipe.marked(KINDS[stage["kind"]], stage))


def _put(settings: Any, where: tuple[str | int, ...], new: Any) -> None:
    for part in where[:-1]:
        settings = settings.setdefault(part, {}) if isinstance(settings, dict) else settings[part]
    settings[where[-1]] = new
