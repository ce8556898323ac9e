"""tunesmith: from labelled data and a base language model to a model that follows instructions."""

import warnings as _warnings

from tunesmith import versions as _versions

__version__ = "0.1.0"

if _line := _versions.warning():
    _warnings.warn(_line, stacklevel=2)
