"""tunesmith: from labelled data and a base language model to a model that follows instructions."""

__version__ = "0.1.0"
