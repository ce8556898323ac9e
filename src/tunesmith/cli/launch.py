"""``tunesmith launch``: any verb with several processes, by torchrun, here or in a SLURM job."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer

SLURM = """#!/bin/bash
#SBATCH --job-name=tunesmith
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={ranks}
#SBATCH --signal=TERM@120
#SBATCH --requeue
# The folder of the run has to be one that all nodes see. Told to stop, the run saves; requeued, it goes on.
export MASTER=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun {torchrun} --rdzv-backend=c10d --rdzv-endpoint="$MASTER:29400" --rdzv-id="$SLURM_JOB_ID" {rest}
"""


def launch(
    verb: Annotated[list[str], typer.Argument(help="What to run: train my.yaml, run my.yaml, quickstart ...")],
    ranks: Annotated[int, typer.Option(min=0, help="Processes on a machine. 0: one for each GPU.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    restarts: Annotated[int, typer.Option(min=0, help="How often to start again when a process has died.")] = 3,
    slurm: Annotated[bool, typer.Option("--slurm", help="Print a job script for SLURM instead of running.")] = False,
) -> None:
    """Run a verb with several processes, which share each global batch.

    [bold]Examples[/]

        tunesmith launch --ranks 4 train my.yaml
        tunesmith launch --ranks 8 --nodes 2 --slurm train my.yaml > job.sh    [dim]then: sbatch job.sh[/]

    What is learned does not depend on the number of processes. A model that does not fit on one device is divided
    among them with `shard: true` in the recipe's `train`.
    """
    many = ranks or _devices()
    torchrun = ["torchrun", f"--nnodes={nodes}", f"--nproc-per-node={many}", f"--max-restarts={restarts}"]
    rest = ["-m", "tunesmith.cli", *verb]
    if slurm:
        typer.echo(
            SLURM.format(nodes=nodes, ranks=many, torchrun=shlex.join(torchrun), rest=shlex.join(rest)), nl=False
        )
        return
    if nodes > 1:
        from tunesmith.core.errors import RecipeError

        raise RecipeError("Several machines need a job of theirs: print one with --slurm, or run torchrun on each.")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *torchrun[1:], *rest]
    sys.stdout.flush()
    os.execv(command[0], command)


def _devices() -> int:
    import torch

    return max(1, torch.cuda.device_count())
