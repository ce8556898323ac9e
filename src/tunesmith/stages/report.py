"""The ``report`` stage: one page and one JSON file from the answers and from what the other stages said of themselves.

Both stand in the stage's folder and, for whoever opens the run, beside the stages: ``runs/<name>/report.html``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from tunesmith.core.document import Problem, written
from tunesmith.core.errors import EvalError, UnknownName
from tunesmith.evals.records import ANSWERS
from tunesmith.stages import rows, training
from tunesmith.stages.evaluate import Evaluate
from tunesmith.stages.stage import KINDS, From, Job, Stage

if TYPE_CHECKING:
    from tunesmith.evals.corpus.figures import Figure
    from tunesmith.evals.records import Record
    from tunesmith.evals.report import LossCurve, MixtureRow
    from tunesmith.evals.report.mask import Drawn


@KINDS.add("report")
class Report(Stage):
    """Write the report."""

    data: Annotated[str, From("data")] = Field(description="The build stage.")
    scores: Annotated[str, From("scores")] = Field(description="The eval stage.")
    title: str = Field(default="How far does it generalise?", description="The headline of the page.")
    figures: list[str] = Field(
        default_factory=list,
        description="Figures of many answers together: f1, calibration, brier, bleu, chrf. Those of suites come by "
        "themselves.",
    )

    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "evals")

    @field_validator("figures")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        from tunesmith.evals.corpus.figures import tries_of

        for name in names:
            try:
                tries = tries_of(name)
            except UnknownName as error:
                raise ValueError(str(error)) from None
            if tries:
                raise ValueError(f"{name} belongs to a suite, which says how often its questions are asked")
        return names

    def foresee(self, job: Job) -> Iterator[Problem | str]:
        asked = job.stages[self.scores]
        if isinstance(asked, Evaluate) and not asked.base:
            yield Problem(("scores",), f"a report compares a model with its base, and {self.scores!r} names no `base`")

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.core.machine import machine
        from tunesmith.data.builds.proof import SplitProof
        from tunesmith.evals.records import read_records
        from tunesmith.evals.report import HeldOutView, ReportData, write_report

        build = job.inputs[self.data]
        asked = job.stages[self.scores]
        assert isinstance(asked, Evaluate)
        if not asked.base:
            raise EvalError(f"The report compares a model with its base; {self.scores!r} names no `base`.")
        records = read_records(job.inputs[self.scores] / ANSWERS)
        proof = f"{self.data}/proof.instruction.json"
        data = ReportData(
            title=self.title,
            records=records,
            together=self._together(asked, records),
            ablation={format: format for format in asked.ablation},
            losses=_losses(job),
            masks=_masks(job, asked, build),
            held_out=HeldOutView.of(SplitProof.load(build / "proof.instruction.json"), proof),
            ledger=json.loads((build / "ledger.json").read_text(encoding="utf-8"))["instruction"],
            mixture=_mixture(job, asked),
            answers="answers.html",
            run={"machine": machine(), "seed": job.seed, "stages": _stages(job), "text": _recipe(job)},
        )
        page = write_report(job.out, data)
        shutil.copyfile(job.inputs[self.scores] / "answers.html", job.out / "answers.html")
        for file in (page, job.out / "report.json", job.out / "answers.html"):
            shutil.copyfile(file, job.out.parent / file.name)
        return {"page": str(page), "answers": len(data.records)}

    def _together(self, asked: Evaluate, records: Sequence[Record]) -> list[Figure]:
        """The figures that this stage asks for, of all answers, and those that suites ask for, of theirs."""
        from tunesmith.evals.asking.suite import Suite
        from tunesmith.evals.corpus.figures import figures_of

        suites = [Suite.load(path) for path in asked.suites]
        found = figures_of(records, self.figures)
        for suite in suites:
            found += figures_of([record for record in records if record.format == suite.suite], suite.figures)
        return list(dict.fromkeys(found))


def _recipe(job: Job) -> str:
    """The recipe with all that was set on the command line, to be run again as it stands."""
    stages = {id: stage.model_dump(mode="json", exclude_unset=True) for id, stage in job.stages.items()}
    plain = {"name": job.out.parent.name, "seed": job.seed, "stages": stages}
    return written(plain)


def _stages(job: Job) -> dict[str, Any]:
    return {
        id: {name: state[name] for name in ("kind", "seconds", "peak_mb", "info")} for id, state in job.history.items()
    }


def _losses(job: Job) -> list[LossCurve]:
    from tunesmith.evals.report import LossCurve

    files = {id: job.out.parent / id / "metrics.jsonl" for id in job.history}
    return [LossCurve.load(id, file) for id, file in files.items() if file.exists()]


def _masks(job: Job, asked: Evaluate, build: Path, count: int = 4) -> list[Drawn]:
    """A few training conversations as the model sees them: long, short, in both languages, whatever comes first."""
    from tunesmith.evals.report.mask import Drawn, tokens_of

    fmt = training.open_format(training.model_folder(job.folder(asked.tuned)))
    every = rows.train(build, "instruction")
    kinds: dict[tuple[str, int], Any] = {}
    for conversation in every:
        kinds.setdefault((conversation.language, len(conversation.messages)), conversation)
    chosen: Sequence[Any] = list(kinds.values())[:count]
    return [Drawn(c.id, tokens_of(fmt, fmt.encode(c))) for c in chosen]


def _mixture(job: Job, asked: Evaluate) -> list[MixtureRow]:
    """What the tuned model was to see of each task, and what it saw."""
    from tunesmith.evals.report import MixtureRow

    info = job.history.get(asked.tuned, {}).get("info", {})
    wanted, realised, counts = info.get("asked", {}), info.get("realised", {}), info.get("rows_of", {})
    draws = info.get("documents", 0)
    return [
        MixtureRow(
            name,
            int(counts.get(name, 0)),
            float(share),
            float(realised.get(name, 0.0)),
            draws * float(realised.get(name, 0.0)) / counts[name] if counts.get(name) else None,
        )
        for name, share in wanted.items()
    ]
