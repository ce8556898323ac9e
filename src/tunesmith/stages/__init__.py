"""The stages of a recipe, one file a kind; ``run`` runs them.

    build -> tokenizer -> pretrain -> sft -> eval -> report        (and export)

``stage.py`` says what a stage is. Importing this package registers every kind, and nothing heavy.
"""

from tunesmith.core.settings import Settings
from tunesmith.stages import build, evaluate, export, pretrain, report, sft, tokenizer
from tunesmith.stages.stage import KINDS, From, Job, Stage

__all__ = [
    "KINDS",
    "From",
    "Job",
    "Settings",
    "Stage",
    "build",
    "evaluate",
    "export",
    "pretrain",
    "report",
    "sft",
    "tokenizer",
]
