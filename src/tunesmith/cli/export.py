"""``tunesmith export``: a model's folder for use elsewhere, proved to say what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(help="A run, a stage of it, or any model folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    precision: Annotated[str, typer.Option(help="stored, bf16, fp16 or fp32.")] = "stored",
) -> None:
    """Write a model for use with transformers, and check what was written.

    [bold]Examples[/]

        tunesmith export runs/quickstart my-model
        tunesmith export runs/my/tune my-model --precision bf16
    """
    from typing import get_args

    from tunesmith.api.folders import open_folder
    from tunesmith.core.errors import UnknownName
    from tunesmith.stages.export import Precision
    from tunesmith.stages.export import export as write

    if precision not in get_args(Precision):
        raise UnknownName("Precision", precision, get_args(Precision))
    notes = write(open_folder(model).folder, out, precision)  # type: ignore[arg-type]
    typer.echo(f"{out}: same logits, same chat ids, same stop tokens as {model}.")
    for note in notes:
        typer.echo(f"  {note}")
