"""The exceptions of tunesmith. All are ``TunesmithError``, so one ``except`` catches what we mean to say.

    TunesmithError
    +-- RecipeError       a recipe or a definition file is wrong (all problems at once, with lines)
    +-- UnknownName       a name is not registered (carries the nearest ones)
    +-- DataError         a record cannot be used
    +-- ChatError         a conversation cannot be encoded
    |   +-- TemplateRefused   a chat template cannot be handled exactly
    +-- TrainError        a run cannot go on
    |   +-- NonFiniteLoss     the loss is not a number any more
    |   +-- RunLocked         another process trains in this folder
    +-- CheckpointError   a checkpoint is missing or damaged
    +-- EvalError         an evaluation cannot be trusted
    +-- PluginError       code from outside cannot be imported, or registers what is there already

A message says what was found, what was wanted, the closest match and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TunesmithError(Exception):
    """Anything that tunesmith wants to tell its user."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process sends its exceptions. Pickle would call the class with ``args``, which are the message alone.
        return _restored, (type(self), self.args, self.__dict__)


class RecipeError(TunesmithError):
    """A recipe or a definition file is wrong."""


class DataError(TunesmithError):
    """A record cannot be used."""


class ChatError(TunesmithError):
    """A conversation cannot be encoded."""


class TemplateRefused(ChatError):
    """A chat template cannot be handled exactly, so it is not handled at all."""


class TrainError(TunesmithError):
    """A training run cannot go on."""


class NonFiniteLoss(TrainError):
    """The loss is infinite or not a number."""


class RunLocked(TrainError):
    """Another process trains in this folder."""


class CheckpointError(TunesmithError):
    """A checkpoint is missing or damaged."""


class EvalError(TunesmithError):
    """An evaluation cannot be trusted."""


class PluginError(TunesmithError):
    """Code from outside cannot be imported, or registers what is there already."""


class UnknownName(TunesmithError):
    """A name is not known; the message carries the nearest one and where to look."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        close = nearest(name, names)
        parts = [f"{kind} {name!r} is not known."]
        if close:
            parts.append(f"Did you mean {close!r}?")
        parts.append(hint or f"Known: {', '.join(names) or 'none'}.")
        super().__init__(" ".join(parts))
        self.name = name
        self.close = close


def _restored(kind: type[TunesmithError], args: tuple[Any, ...], state: dict[str, Any]) -> TunesmithError:
    """An exception of another process."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that a person most likely meant, if any is near enough: 1 is the same, 0 has nothing in common."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def near(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says which name was probably meant, or which there are."""
    names = sorted(known) if isinstance(known, set) else list(known)
    close = nearest(name, names)
    if close:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else ""


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``: a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
