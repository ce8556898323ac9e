"""The ``eval`` stage: ask the base, the tuned model and those of the ablation what was held out.

In go a build and models; out come every answer (``answers.jsonl``) and nothing else. All figures are made from the
answers, by the ``report`` stage, so that a figure can always be traced to what was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from tunesmith.errors import EvalError
from tunesmith.stages import rows, training
from tunesmith.stages.stage import KINDS, From, Job, Stage
from tunesmith.types import Conversation, Level

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.chat import ChatFormat
    from tunesmith.evals.records import Record

NEW: tuple[Level, ...] = ("task", "cluster")
"""What the models of an ablation are asked: tasks that none of them was trained on."""


@KINDS.add("eval")
class Evaluate(Stage):
    """Ask models what was held out."""

    data: Annotated[str, From(("build",))] = Field(description="The build stage whose held-out questions are asked.")
    base: Annotated[str, From(("pretrain", "sft"), folder=True)] = Field(
        default="", description="The model before tuning; left out, the tuned one is asked alone."
    )
    tuned: Annotated[str, From(("sft",), folder=True)] = Field(description="The model after tuning.")
    ablation: Annotated[dict[str, str], From(("sft",), folder=True)] = Field(
        default_factory=dict,
        description="Format -> a model tuned on that format; it is asked by instruction about new tasks and clusters.",
    )
    shots: list[int] = Field(default=[0], description="Answered examples before each question; the build writes them.")
    cloze: int = Field(default=400, ge=0, description="Sentences of the text to finish: is what it knew still known?")
    max_new_tokens: int = Field(default=32, ge=1, description="Longest answer.")

    rooms: ClassVar[tuple[str, ...]] = ("stages/rows.py", "evals", "models", "chat")

    def run(self, job: Job) -> Mapping[str, Any]:
        from tunesmith.evals.ask import How, ask, ask_text
        from tunesmith.evals.records import ANSWERS, write_records
        from tunesmith.evals.respondent import Local
        from tunesmith.models.vocabulary import extend

        build = job.inputs[self.data]
        fmt = training.open_format(training.model_folder(job.inputs[self.tuned]))
        records: list[Record] = []
        for name, stage in (("base", self.base), ("tuned", self.tuned)):
            if not stage:
                continue
            model = open_model(job.inputs[stage])
            # A base that knows nothing of the format's control tokens is asked in that format all the same.
            rows_of_model: Any = model.get_input_embeddings()
            extend(model, range(rows_of_model.num_embeddings, len(fmt.tok)))
            for shots in self.shots:
                questions = rows.held_out(build, "instruction", shots)
                with job.progress(f"{name}, {shots} examples shown") as tell:
                    how = How(max_new_tokens=self.max_new_tokens)
                    records += ask(Local(model, fmt), questions, name=name, shots=shots, how=how, progress=tell)
            if self.cloze and (build / "cloze.jsonl").exists():
                records += ask_text(model, fmt, _clozes(build, self.cloze, job.seed), name=name)
        for format, stage in self.ablation.items():
            records += self._ablated(job, fmt, build, format, stage)
        write_records(job.out / ANSWERS, records)
        job.step(f"{len(records):,} answers")
        return {"answers": len(records), "models": sorted({r.model for r in records})}

    def _ablated(self, job: Job, fmt: ChatFormat, build: Path, format: str, stage: str) -> list[Record]:
        """A model tuned on another format, asked by instruction, and in the way that it was tuned."""
        from tunesmith.evals.ask import How, ask
        from tunesmith.evals.respondent import Local

        model = open_model(job.inputs[stage])
        found: list[Record] = []
        for asked in dict.fromkeys(("instruction", format)):
            questions = rows.held_out(build, asked)
            new: dict[Level, list[Conversation]] = {level: questions[level] for level in NEW if level in questions}
            with job.progress(f"tuned on {format}, asked by {asked}") as tell:
                how = How(max_new_tokens=self.max_new_tokens, rank=False)
                found += ask(Local(model, fmt), new, name=format, format=asked, how=how, progress=tell)
        return found


def open_model(stage: Path) -> PreTrainedModel:
    """The model of a training stage, ready to answer."""
    from tunesmith.models.load import load_model

    model = load_model(training.model_folder(stage))
    model.train(False)
    return model


def _clozes(build: Path, count: int, seed: int) -> list[Any]:
    """So many sentences, drawn by the seed, each question once."""
    import random
    from types import SimpleNamespace

    all_of_them = {value["prompt"]: SimpleNamespace(**value) for value in rows.read_lines(build / "cloze.jsonl")}
    if not all_of_them:
        raise EvalError(f"{build / 'cloze.jsonl'} has no sentence to finish.")
    found = list(all_of_them.values())
    random.Random(f"{seed} cloze").shuffle(found)
    return found[:count]
