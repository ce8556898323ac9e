"""Training: objectives, the loop that knows none of them by name, optimizers, checkpoints."""

from tunesmith.train.loop import TrainResult, train
from tunesmith.train.settings import TrainSettings

__all__ = ["TrainResult", "TrainSettings", "train"]
