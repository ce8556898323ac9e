"""The readers, a file each. Importing this package registers them in ``READERS``.

The reader of the little world registers itself when ``tunesmith.littleworld`` is imported.
"""

from tunesmith.data.readers import (
    alpaca,
    choices,
    dolly,
    flan_cot,
    gsm8k,
    hellaswag,
    humaneval,
    ifeval,
    labelled,
    oasst,
    openai,
    preference,
    prompt_completion,
    questions,
    self_instruct,
    sharegpt,
    superni,
    table,
    text,
)

__all__ = [
    "alpaca",
    "choices",
    "dolly",
    "flan_cot",
    "gsm8k",
    "hellaswag",
    "humaneval",
    "ifeval",
    "labelled",
    "oasst",
    "openai",
    "preference",
    "prompt_completion",
    "questions",
    "self_instruct",
    "sharegpt",
    "superni",
    "table",
    "text",
]
