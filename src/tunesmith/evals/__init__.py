"""Evaluation: ask models what was held out, with intervals that can be defended, and show it on one page.

who is asked      respondent.py (a model here), server.py (one behind an address), plain.py (bases), cache.py
what is asked     suite.py, levels.py (how new it is); constraints/
asking            ask.py -> records.py (one answer by one metric); metrics/ (one file each), sandbox.py
figures           stats.py, standing.py (models side by side), changes.py, figures.py, style.py, audited.py (leaks)
all together      evaluation.py (a suite), ablated.py (an ablation), judge.py, harness/ (lm-evaluation-harness)
pages             report/ (a recipe), viewer.py (every answer), mask.py; page/
"""

from tunesmith.evals.metrics import METRICS

__all__ = ["METRICS"]
