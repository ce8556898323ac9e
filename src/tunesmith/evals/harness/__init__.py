"""The bridge to lm-evaluation-harness: its tasks on our engine, and results in both formats.

model.py      our model behind the interface of the harness: their tokens and rules, our forward pass
results.py    their samples as our records, our records as their results
"""
