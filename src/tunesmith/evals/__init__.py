"""Evaluation: ask models what was held out, with intervals that can be defended, and show it on one page."""

from tunesmith.evals.metrics import METRICS

__all__ = ["METRICS"]
