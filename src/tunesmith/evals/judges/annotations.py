"""Annotations of AlpacaEval: a judge's preferences between a model and a baseline, and the files that go with them.

    read_annotations(path)       a list of {instruction, output_1, output_2, generator_1, generator_2, preference}
    read_reference(path)         AlpacaEval's own ``df_gamed.csv``: difficulties, and annotations of gamed baselines

``output_1`` is the baseline's. A preference of 1 is for the baseline, of 2 for the model, between them for a judge that
gives probabilities; 0 is a draw, and null means that the judge's verdict could not be parsed.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import EvalError
from tunesmith.evals.judges.length_controlled import Gamed, Judged


@dataclass(frozen=True, slots=True)
class Annotations:
    """Those of one model."""

    model: str
    baseline: str
    rows: tuple[Judged, ...]
    places: tuple[int, ...]
    """The place of each in its file."""
    unread: int
    """Without a preference, and left out."""


def read_annotations(path: Path) -> Annotations:
    """The annotations in a file, or one clear error about the first that is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise EvalError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, list) or not value:
        raise EvalError(f"{path}: wanted a list of annotations (AlpacaEval's annotations.json).")
    rows, places, unread = [], [], 0
    names: dict[tuple[str, str], None] = {}
    for place, one in enumerate(value):
        row = _row(one, f"{path}, annotation {place + 1}")
        names[str(one.get("generator_1", "baseline")), str(one.get("generator_2", path.stem))] = None
        if row is None:
            unread += 1
        else:
            rows.append(row)
            places.append(place)
    if len(names) > 1:
        found = ", ".join(f"{b} against {a}" for a, b in list(names)[:3])
        raise EvalError(f"{path}: wanted annotations of one model against one baseline; found {found}.")
    if not rows:
        raise EvalError(f"{path}: none of its {len(value)} annotations has a preference.")
    ((baseline, model),) = names
    return Annotations(model, baseline, tuple(rows), tuple(places), unread)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _row(one: Any, where: str) -> Judged | None:
    if not isinstance(one, dict):
        raise EvalError(f"{where}: wanted an object with instruction, output_1, output_2, preference.")
    for name in ("instruction", "output_1", "output_2"):
        if not isinstance(one.get(name), str):
            raise EvalError(f"{where}: {name} is {json.dumps(one.get(name))[:60]}; wanted a text.")
    preference = one.get("preference")
    if preference is None:
        return None
    number = isinstance(preference, int | float) and not isinstance(preference, bool)
    if not number or not (preference == 0 or 1 <= preference <= 2):
        raise EvalError(f"{where}: preference is {preference!r}; wanted 1 (output_1) to 2 (output_2), 0 or null.")
    preferred = 0.5 if preference == 0 else float(preference) - 1
    return Judged(one["instruction"], preferred, float(len(one["output_1"]) - len(one["output_2"])))


@dataclass(frozen=True, slots=True)
class Reference:
    """AlpacaEval's own difficulties by the number of an instruction, and its gamed annotations."""

    difficulty: tuple[float, ...]
    gamed: Gamed

    def by_instruction(self, annotations: Annotations) -> Mapping[str, float]:
        """Difficulties by text. The original goes by the place of an annotation in its file, and so do we."""
        if annotations.places[-1] >= len(self.difficulty):
            raise EvalError(
                f"{annotations.model} has annotations of more instructions than the {len(self.difficulty)} whose "
                "difficulty is known."
            )
        places = zip(annotations.rows, annotations.places, strict=True)
        return {row.instruction: self.difficulty[place] for row, place in places}


_REFERENCE = ("index", "preference", "std_delta_len", "instruction_difficulty")


def read_reference(path: Path) -> Reference:
    """``df_gamed.csv``, with the columns index, preference, std_delta_len and instruction_difficulty."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        columns = {name: [float(line[name]) for line in lines] for name in _REFERENCE}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvalError(f"{path}: cannot be read as CSV: {error}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise EvalError(f"{path}: wanted numbers in the columns {', '.join(_REFERENCE)}; found {error}.") from None
    if not lines or not all(math.isfinite(x) for column in columns.values() for x in column):
        raise EvalError(f"{path}: wanted finite numbers in the columns {', '.join(_REFERENCE)}.")
    found: dict[int, float] = {}
    for index, hard in zip(columns["index"], columns["instruction_difficulty"], strict=True):
        found.setdefault(int(index), hard)
    if sorted(found) != list(range(len(found))):
        raise EvalError(f"{path}: its column index has gaps; wanted 0 to {len(found) - 1}.")
    gamed = Gamed(
        np.tanh(np.array(columns["std_delta_len"])),
        np.array(columns["instruction_difficulty"]),
        np.array(columns["preference"]),
    )
    return Reference(tuple(found[i] for i in range(len(found))), gamed)
