"""Metrics by name, one file each. Importing this package registers them all."""

from tunesmith.evals.metrics import (
    answer_bits,
    constraints,
    exact_match,
    final_answer,
    form,
    number,
    options,
    passes,
    refusal,
    rouge_l,
    squad,
    superni,
    wording,
)
from tunesmith.evals.metrics.metric import METRICS, WITHOUT_GOLD, Answer, Metric, tidy

__all__ = [
    "METRICS",
    "WITHOUT_GOLD",
    "Answer",
    "Metric",
    "answer_bits",
    "constraints",
    "exact_match",
    "final_answer",
    "form",
    "number",
    "options",
    "passes",
    "refusal",
    "rouge_l",
    "squad",
    "superni",
    "tidy",
    "wording",
]
