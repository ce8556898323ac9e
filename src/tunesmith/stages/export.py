"""The ``export`` stage: a model's folder for use elsewhere, proved to say what the model says.

In goes a model; out comes a plain folder for transformers and what reads its files, with a Modelfile for Ollama where
the chat template allows it. Before it counts as written it is opened by transformers: its logits, its chat ids, the
tokens that end an answer and the one that pads have to be those of the model. Only what was tried is printed: whether
another engine takes the tokenizer is not known here.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.core.errors import TemplateRefused, TrainError
from tunesmith.stages import training
from tunesmith.stages.stage import KINDS, From, Job, Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.chat import ChatFormat

Precision = Literal["stored", "bf16", "fp16", "fp32"]
QUESTIONS = ("What is 2 + 2?", "Say it twice:\n\n  hello <|im_end|> </s>", "法国的首都是哪里？")
"""Asked of both; the second holds what looks like control tokens and has to stay text."""


@KINDS.add("export")
class Export(Stage):
    """Write a model for use elsewhere."""

    model: Annotated[str, From("model", folder=True)] = Field(description="The model.")
    precision: Precision = Field(default="stored", description="In which its weights are written.")

    rooms: ClassVar[tuple[str, ...]] = ("models", "chat")

    def run(self, job: Job) -> Mapping[str, Any]:
        notes = export(training.model_folder(job.inputs[self.model]), job.out / "model", self.precision)
        for note in notes:
            job.step(note)
        return {"notes": notes}


def export(source: Path, out: Path, precision: Precision = "stored") -> list[str]:
    """Write ``out`` from the model in ``source``, check it, and say what can be done with it."""
    import torch
    import transformers

    from tunesmith.chat.ollama import modelfile
    from tunesmith.models.load import cast, load_model, save_model

    if out.exists() and any(out.iterdir()):
        raise TrainError(f"{out} is there already and not empty. Give another folder.")
    fmt = training.open_format(source)
    model = load_model(source, dtype=None)
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if precision != "stored":
        cast(model, kinds[precision])
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        save_model(model, part, tokenizer_dir=source, stop_ids=sorted(fmt.stop_ids))
        notes = []
        try:
            (part / "Modelfile").write_text(modelfile(fmt), encoding="utf-8")
        except TemplateRefused as error:
            notes.append(str(error))
        verify(part, model, fmt)
        notes.insert(
            0, f"opened with transformers {transformers.__version__}: {len(QUESTIONS)} questions asked of both"
        )
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return notes


def verify(folder: Path, model: PreTrainedModel, fmt: ChatFormat) -> None:
    """Open a folder as anyone would, and refuse it if it is not the model, or not asked as it was trained."""
    import torch

    from tunesmith.models.load import load_model
    from tunesmith.models.tokenizer import load_tokenizer

    pair = bool(model.config.is_encoder_decoder)
    tok: Any = load_tokenizer(folder)
    other: Any = load_model(folder, dtype=model.dtype).train(False)
    model.train(False)
    wrong: list[str] = []
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question}]
        ids = fmt.prompt(messages).tolist()
        theirs = tok.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        if not any(control in question for control in fmt.words.controls) and list(theirs) != ids:
            wrong.append(f"its template gives other ids for {question!r}")
        row: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        if pair:
            row["decoder_input_ids"] = torch.tensor([ids[:1]])
        with torch.no_grad():
            ours, found = (m(**row, use_cache=False).logits.float() for m in (model, other))
        if not torch.isfinite(found).all():
            wrong.append("its logits are not all numbers")
        elif float((ours - found).abs().max()) > 1e-3 * max(1.0, float(ours.abs().max())):
            wrong.append(f"its logits differ by {float((ours - found).abs().max()):.3g} for {question!r}")
    stops = other.generation_config.eos_token_id
    if {*(stops if isinstance(stops, list) else [stops])} != set(fmt.stop_ids):
        wrong.append(f"it would stop at {stops}, not at {sorted(fmt.stop_ids)}")
    pads = {tok.pad_token_id, other.config.pad_token_id, other.generation_config.pad_token_id}
    if len(pads) > 1 or pads & set(fmt.stop_ids):
        wrong.append(f"it would pad with {' or '.join(map(str, sorted(pads, key=str)))}")
    if wrong:
        raise TrainError(
            f"What was exported is not the model: {'; '.join(dict.fromkeys(wrong))}. Nothing is kept of it."
        )
