"""Where a server is, and how it is to be asked, as a person writes it in one word.

Place.of("http://localhost:8000/v1#qwen#tokenizer=models/qwen")
"""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.ask.safe import printable
from tunesmith.core.errors import EvalError, nearest


@dataclass(frozen=True, slots=True)
class Place:
    """``http://host/v1#model#tokenizer=FOLDER#answers=NAME#key=VARIABLE``"""

    url: str
    model: str = ""
    tokenizer: str = ""
    """The folder of the tokenizer, where prompts go as our ids."""
    answers: str = ""
    """The name that answers are kept under."""
    key: str = ""
    """The environment's variable that holds the key."""

    @classmethod
    def of(cls, text: str) -> Place:
        """Read what a person has written; an unknown part is an error."""
        url, *rest = text.split("#")
        found: dict[str, str] = {}
        for part in rest:
            name, equals, value = part.partition("=")
            if not equals:
                name, value = "model", part
            if name not in ("model", "tokenizer", "answers", "key") or name in found:
                close = nearest(name, ("tokenizer", "answers", "key"))
                hint = f" Did you mean #{close}=?" if close else ""
                raise EvalError(
                    f"{printable(url)}#...: {printable(part)!r} is not known, or there twice.{hint} Wanted "
                    "URL#MODEL, then #tokenizer=FOLDER, #answers=NAME or #key=VARIABLE."
                )
            found[name] = value
        return cls(url, **found)
