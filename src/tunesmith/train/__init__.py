"""Training: objectives, the loop that knows none of them by name, optimizers, checkpoints.

``from tunesmith.train.loop import train``. Nothing is imported here, so that settings can be checked without torch.
"""
