"""Evaluation: ask models held-out questions, score the answers with confidence intervals, and show all on one page.

who answers       the package ``ask``: local models, servers, the cache
questions         asking/suite.py, asking/levels.py (how new a question is), constraints/
answers           asking/ask.py -> records.py (one answer by one metric); metrics/ (one file each), sandbox.py
scores            statistics/ (intervals), corpus/ (pass@k, F1, BLEU ...), leaked.py (the leak audit)
comparisons       compare/ (models side by side, changes, ablations, style), judges/, harness/ (lm-evaluation-harness)
all together      evaluation.py (a suite)
pages             report/ (a recipe), viewer.py (every answer), page/
"""

from tunesmith.evals.metrics import METRICS

__all__ = ["METRICS"]
