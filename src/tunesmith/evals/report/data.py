"""What a report shows, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.evals.corpus.figures import Figure
from tunesmith.evals.records import Record
from tunesmith.evals.report.mask import Drawn

if TYPE_CHECKING:
    from tunesmith.data.builds.proof import SplitProof


@dataclass(frozen=True, slots=True)
class LossCurve:
    """What ``metrics.jsonl`` of one training stage says."""

    name: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]

    @classmethod
    def load(cls, name: str, path: Path | str) -> LossCurve:
        """Read ``step`` and ``loss`` of every line; an unfinished last line is left out."""
        steps, losses = [], []
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            try:
                value = json.loads(line)
                step, loss = int(value["step"]), float(value["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            steps.append(step)
            losses.append(loss)
        return cls(name, tuple(steps), tuple(losses))


@dataclass(frozen=True, slots=True)
class MixtureRow:
    """One source of training rows."""

    name: str
    rows: int
    asked: float
    """The share of rows that it should have, from 0 to 1."""
    realised: float
    epochs: float | None = None


@dataclass(frozen=True, slots=True)
class HeldOutView:
    """What was held out, by id, and how many rows stand on each side."""

    clusters: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows of ``train`` and of each level."""
    proof: str = ""
    """The file by which anybody can check this."""

    @classmethod
    def of(cls, proof: SplitProof, file: str = "") -> HeldOutView:
        """What the proof of a build says, by the rows themselves and not by the wish alone."""
        return cls(
            clusters=tuple(sorted({row.cluster for row in proof.of("cluster")})),
            tasks=tuple(sorted({row.task for row in proof.of("task")})),
            wordings=tuple(sorted({row.template for row in proof.of("wording")})),
            groups=tuple(sorted(proof.groups)),
            counts=proof.counts,
            proof=file,
        )


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report can show."""

    title: str
    records: Sequence[Record]
    """Every answer of every model; figures are made from these and nothing else."""
    base: str = "base"
    """The model before tuning, by its name in the records."""
    tuned: str = "tuned"
    ablation: Mapping[str, str] = field(default_factory=dict)
    """Format that a model was tuned on -> its name in the records. All are asked by instruction."""
    losses: Sequence[LossCurve] = ()
    masks: Sequence[Drawn] = ()
    held_out: HeldOutView | None = None
    ledger: Mapping[str, Any] | None = None
    """As ``data.Ledger.to_json()`` gives it."""
    mixture: Sequence[MixtureRow] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    """As ``run.json`` of a recipe's run has it: machine, stages, settings, the recipe's text."""
    answers: str = ""
    """Where the page of all answers is, from this one."""
    together: Sequence[Figure] = ()
    """Figures of many answers together, such as pass@k and BLEU."""
    samples: int = 8
    """Sample answers of each level."""
