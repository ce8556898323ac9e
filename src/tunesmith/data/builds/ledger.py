"""The ledger of a build: rows in = rows out + rejected rows, by reason, at every step.

A ``Step`` that does not balance cannot be created. ``table()`` prints it for people, ``to_json()`` is what the report
draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a build, and where its rows went."""

    name: str
    rows_in: int
    out: Mapping[str, int]
    """Rows that go on, by where they go: ``train``, ``wording``, ..."""
    aside: Mapping[str, int] = field(default_factory=dict)
    """Rows that do not, by reason."""

    def __post_init__(self) -> None:
        there = sum(self.out.values()) + sum(self.aside.values())
        if there != self.rows_in:
            raise DataError(
                f"The ledger of {self.name!r} does not balance: {self.rows_in} rows in, but "
                f"{sum(self.out.values())} out + {sum(self.aside.values())} set aside = {there}. "
                "Rows were lost or counted twice; please report this."
            )


@dataclass(frozen=True, slots=True)
class Ledger:
    """All steps, and every single row that could not be used."""

    steps: tuple[Step, ...]
    set_aside: tuple[SetAside, ...] = ()
    """Rows with something wrong, one by one. Rows that merely were not wanted are only counted."""

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def unused(self) -> dict[str, int]:
        """How many rows are not used for each reason, in the order of the steps."""
        found: dict[str, int] = {}
        for reason, count in ((reason, count) for step in self.steps for reason, count in step.aside.items() if count):
            found[reason] = found.get(reason, 0) + count
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values for the report."""
        return {
            "steps": [
                {"name": s.name, "rows_in": s.rows_in, "out": dict(s.out), "aside": dict(s.aside)} for s in self.steps
            ],
            "set_aside": [{"row": s.row, "reason": s.reason, "source": str(s.source)} for s in self.set_aside],
        }

    def table(self) -> str:
        """A line for each step, each way out and each reason."""
        lines = []
        for step in self.steps:
            lines.append(f"{step.name}: {step.rows_in} rows")
            lines += [f"  {count:>8}  {name}" for name, count in step.out.items()]
            lines += [f"  {count:>8}  set aside: {reason}" for reason, count in step.aside.items()]
        return "\n".join(lines)


def by_reason(rows: Iterable[SetAside]) -> dict[str, int]:
    """How many for each reason, the most frequent first. What follows a colon is about the one row."""
    return dict(Counter(row.reason.partition(":")[0] for row in rows).most_common())
