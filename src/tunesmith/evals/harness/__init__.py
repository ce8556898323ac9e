"""The bridge to lm-evaluation-harness: its tasks on our engine, its results as ours, ours in its shape.

model.py      a model of ours as the harness asks it: their tokens and rules, our forward pass
results.py    their samples as our records, our records as their results
"""
