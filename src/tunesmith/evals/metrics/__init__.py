"""Metrics by name, one file each. Importing this package registers them all."""

from tunesmith.evals.metrics import exact_match, final_answer, form, options, refusal
from tunesmith.evals.metrics.metric import METRICS, Answer, Metric, tidy

__all__ = ["METRICS", "Answer", "Metric", "exact_match", "final_answer", "form", "options", "refusal", "tidy"]
