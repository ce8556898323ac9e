"""tunesmith: from labelled data and a base language model to a model that follows instructions."""

import os as _os
import warnings as _warnings

from tunesmith.core import versions as _versions

__version__ = "0.1.0"

# MKL then gives the same bits with any number of threads. It reads this before its first matrix product.
_os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

if _line := _versions.warning():
    _warnings.warn(_line, stacklevel=2)
