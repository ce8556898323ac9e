"""The error for a release of transformers that has changed something that we depend on."""

from __future__ import annotations

import transformers

from tunesmith.core.errors import TunesmithError


class Changed(TunesmithError):
    """A release of transformers or torch does something else than those that tunesmith was tested with."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} This is transformers {transformers.__version__}, and it differs here from the releases that "
            "tunesmith was tested with. `tunesmith doctor` names those: install one of them. To adapt tunesmith "
            "instead, run `pytest tests/models/hf` and change what fails in tunesmith/models/hf."
        )
